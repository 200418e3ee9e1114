"""How a network of the hyperspherical area says a number: the `loss` sections, and what they build.

Inside, a value is a position between -1, for the lower end of its range, and 1, for the upper.

Shape legend: B examples, d dimensions of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from tfdlcv.config import Section

Dimensions = Annotated[int, Field(ge=1)]


class PolesConfig(Section):
    """A value is a place between two opposite poles of the hypersphere: the cosine to the upper one."""

    name: Literal["poles"]
    dimensions: int = Field(ge=2)
    """Outputs of the network: 2 for a circle, 3 for a sphere."""


class SquaredErrorConfig(Section):
    """The baseline of mean squared error, with a linear layer behind the embedding."""

    name: Literal["squared_error"]
    dimensions: Dimensions
    """Outputs of the network before the linear layer, so that both have the same space."""
    target: Literal["position", "value"] = "position"
    """What the linear layer says: the position in [-1, 1], or the value in its own units."""


ValueLossConfig = Annotated[PolesConfig | SquaredErrorConfig, Field(discriminator="name")]


@dataclass(frozen=True)
class ValueHead:
    """What turns embeddings into positions.

    dimensions: d.
    position: embeddings, a Keras tensor (B, d), -> positions (B,).
    loss: (values (B,), positions) -> (B,).
    """

    dimensions: int
    position: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]


def build_value_head(config: ValueLossConfig, *, lower: float, upper: float) -> ValueHead:
    """The head that `config` names, for values in [lower, upper]."""
    import keras

    from tfdlcv.losses.hyperspherical import first_axis
    from tfdlcv.ops import hypersphere

    if isinstance(config, PolesConfig):
        return ValueHead(
            config.dimensions,
            position=lambda embeddings: hypersphere.cosine(embeddings, first_axis(config.dimensions)),
            loss=lambda values, positions: squared_error(values, positions, lower=lower, upper=upper),
        )
    readout = keras.layers.Dense(1, dtype="float32", name="readout")
    if config.target == "position":
        return ValueHead(
            config.dimensions,
            position=lambda embeddings: keras.ops.squeeze(readout(embeddings), axis=-1),
            loss=lambda values, positions: squared_error(values, positions, lower=lower, upper=upper),
        )
    half = (upper - lower) / 2  # Units of the value in one unit of the position.
    return ValueHead(
        config.dimensions,
        position=lambda embeddings: hypersphere.value_to_cosine(
            keras.ops.squeeze(readout(embeddings), axis=-1), lower=lower, upper=upper
        ),
        loss=lambda values, positions: half**2 * squared_error(values, positions, lower=lower, upper=upper),
    )


def squared_error(values, positions, *, lower: float, upper: float):
    """Of positions (B,) for values (B,), (B,)."""
    from tfdlcv.ops import hypersphere

    return (hypersphere.value_to_cosine(values, lower=lower, upper=upper) - positions) ** 2
