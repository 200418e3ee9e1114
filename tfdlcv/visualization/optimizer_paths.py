"""Optimizers on their way down surfaces that are hard for some of them.

Shape legend: T steps of an optimizer, each a point of the plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfdlcv.visualization.gradients import gradient


def beale(x, y):
    """Minimum 0 at (3, 0.5); steep walls around a flat valley."""
    return ops.square(1.5 - x + x * y) + ops.square(2.25 - x + x * y**2) + ops.square(2.625 - x + x * y**3)


def saddle(x, y):
    """x² - y²: the gradient along y vanishes on the ridge y = 0."""
    return ops.square(x) - ops.square(y)


def rosenbrock(x, y):
    """(1 - x)² + 100 (y - x²)²: minimum 0 at (1, 1), in a curved valley with steep sides."""
    return ops.square(1.0 - x) + 100.0 * ops.square(y - ops.square(x))


@dataclass(frozen=True)
class Surface:
    """A function of the plane, and what is shown of it.

    Attributes:
        function: (x, y) tensors -> tensor.
        start: Where all optimizers start.
        limits: (left, right, bottom, top) of what is shown.
        minimum: Where it lies, if there is one.
        learning_rates: Of each optimizer by name.
        steps: How many are taken.
    """

    function: Callable
    start: tuple[float, float]
    limits: tuple[float, float, float, float]
    minimum: tuple[float, float] | None
    learning_rates: Mapping[str, float]
    steps: int = 150


# Learning rates, of 1, 2 and 5 times powers of ten up to 50: those whose last point is nearest to the minimum without
# leaving what is shown; on the saddle one for all, but for AdaDelta, whose first steps are sqrt(epsilon) times the rate
# whatever the gradient.
SURFACES = {
    "Beale's function": Surface(
        beale,
        start=(1.0, 1.5),
        limits=(-0.5, 4.5, -1.5, 2.5),
        minimum=(3.0, 0.5),
        learning_rates={
            "SGD": 0.02,
            "momentum": 0.002,
            "Nesterov": 0.005,
            "AdaGrad": 1.0,
            "AdaDelta": 50.0,
            "RMSProp": 0.05,
            "Adam": 0.5,
        },
    ),
    "Saddle": Surface(
        saddle,
        start=(1.0, 0.01),
        limits=(-1.5, 1.5, -1.5, 1.5),
        minimum=None,
        learning_rates={
            "SGD": 0.02,
            "momentum": 0.02,
            "Nesterov": 0.02,
            "AdaGrad": 0.02,
            "AdaDelta": 1.0,
            "RMSProp": 0.02,
            "Adam": 0.02,
        },
    ),
    "Rosenbrock's function": Surface(
        rosenbrock,
        start=(-1.2, 1.0),
        limits=(-2.0, 2.0, -1.0, 3.0),
        minimum=(1.0, 1.0),
        learning_rates={
            "SGD": 0.005,
            "momentum": 0.002,
            "Nesterov": 0.002,
            "AdaGrad": 1.0,
            "AdaDelta": 50.0,
            "RMSProp": 0.1,
            "Adam": 0.5,
        },
    ),
}


def optimizers(learning_rates: Mapping[str, float]) -> dict[str, keras.optimizers.Optimizer]:
    """The seven of the lecture by name, each with its learning rate."""
    built = {
        "SGD": lambda rate: keras.optimizers.SGD(rate),
        "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "Nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        "AdaGrad": lambda rate: keras.optimizers.Adagrad(rate),
        "AdaDelta": lambda rate: keras.optimizers.Adadelta(rate),
        "RMSProp": lambda rate: keras.optimizers.RMSprop(rate),
        "Adam": lambda rate: keras.optimizers.Adam(rate),
    }
    return {name: built[name](rate) for name, rate in learning_rates.items()}


def optimizer_paths(surface: Surface) -> dict[str, np.ndarray]:
    """The path (T, 2) of each optimizer by name."""
    return {
        name: optimizer_path(surface.function, surface.start, optimizer, steps=surface.steps)
        for name, optimizer in optimizers(surface.learning_rates).items()
    }


def optimizer_path(
    function: Callable, start: Sequence[float], optimizer: keras.optimizers.Optimizer, *, steps: int
) -> np.ndarray:
    """Points (steps + 1, 2) float64 of a new optimizer from `start` on, which is the first of them."""
    point = keras.Variable(np.asarray(start, "float32"), name="point")
    optimizer.build([point])
    path = [np.asarray(start, "float64")]
    for _ in range(steps):
        slope = gradient(lambda at: function(at[0], at[1]), ops.convert_to_tensor(point.value))
        optimizer.apply([slope], [point])
        path.append(point.numpy().astype("float64"))
    return np.stack(path)
