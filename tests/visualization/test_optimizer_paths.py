import keras
import numpy as np
import pytest
from PIL import Image

from tfdlcv.visualization import optimizer_paths
from tfdlcv.visualization.optimizer_paths import SURFACES, Surface, beale, optimizer_path, rosenbrock, saddle
from tfdlcv.visualization.optimizer_pictures import animate_optimizer_paths, draw_optimizer_paths


def test_the_functions_have_their_known_values():
    assert beale(3.0, 0.5) == 0 and rosenbrock(1.0, 1.0) == 0 and saddle(0.0, 0.0) == 0
    assert float(beale(0.0, 0.0)) == pytest.approx(1.5**2 + 2.25**2 + 2.625**2)
    assert float(beale(1.0, 2.0)) == pytest.approx(2.5**2 + 5.25**2 + 9.625**2)
    assert float(rosenbrock(-1.0, 2.0)) == pytest.approx(4 + 100)
    assert float(saddle(2.0, 3.0)) == -5


def bowl(x, y):
    """x² + 2 y, of gradient (2x, 2)."""
    return x**2 + 2 * y


def test_the_steps_of_each_rule_by_hand():
    """Two steps at rate 0.1 from (1, 0): the gradients are (2, 2) and (2 x1, 2)."""
    rates = dict.fromkeys(("SGD", "momentum", "Nesterov", "AdaGrad", "RMSProp", "Adam"), 0.1)
    paths = {
        name: optimizer_path(bowl, (1.0, 0.0), optimizer, steps=2)
        for name, optimizer in optimizer_paths.optimizers(rates).items()
    }
    np.testing.assert_allclose(paths["SGD"], [[1, 0], [0.8, -0.2], [0.64, -0.4]], rtol=1e-5)
    # v1 = -0.2; v2 = 0.9 v1 - 0.1 g2.
    np.testing.assert_allclose(paths["momentum"], [[1, 0], [0.8, -0.2], [0.46, -0.58]], rtol=1e-5)
    # A step is 0.9 v - 0.1 g with the new v: -0.38 first; then v2 = 0.9 * -0.2 - 0.1 g2.
    second = np.array([0.62 * 2, 2.0])
    velocity = 0.9 * -0.2 - 0.1 * second
    expected = np.array([0.62, -0.38]) + 0.9 * velocity - 0.1 * second
    np.testing.assert_allclose(paths["Nesterov"], [[1, 0], [0.62, -0.38], expected], rtol=1e-5)
    # Keras's sum of squares starts at 0.1.
    np.testing.assert_allclose(paths["AdaGrad"][1], np.array([1, 0]) - 0.2 / np.sqrt(4.1), rtol=1e-5)
    np.testing.assert_allclose(paths["RMSProp"][1], np.array([1, 0]) - 0.2 / np.sqrt(0.1 * 4), rtol=1e-4)
    np.testing.assert_allclose(paths["Adam"][1], [0.9, -0.1], rtol=1e-4)  # Its first step is the learning rate.


def test_adadelta_starts_with_the_root_of_epsilon():
    adadelta = optimizer_paths.optimizers({"AdaDelta": 2.0})["AdaDelta"]
    path = optimizer_path(bowl, (1.0, 0.0), adadelta, steps=1)
    np.testing.assert_allclose(path[1], np.array([1, 0]) - 2 * 2 * np.sqrt(1e-7 / (0.05 * 4 + 1e-7)), rtol=1e-5)


@pytest.mark.parametrize("title", SURFACES)
def test_the_learning_rates_do_what_they_are_chosen_for(title):
    """Near the minimum, or off the saddle; momentum leaves the saddle before plain descent."""
    surface = SURFACES[title]
    names = ("SGD", "momentum", "Adam")
    chosen = optimizer_paths.optimizers({name: surface.learning_rates[name] for name in names})
    steps = surface.steps
    paths = {n: optimizer_path(surface.function, surface.start, o, steps=steps) for n, o in chosen.items()}
    if surface.minimum is not None:
        before = np.linalg.norm(np.subtract(surface.start, surface.minimum))
        for path in paths.values():
            assert np.linalg.norm(path[-1] - surface.minimum) < 0.5 * before
        return
    left = {name: int(np.argmax(np.abs(path[:, 1]) > 1.5)) for name, path in paths.items()}
    assert 0 < left["momentum"] < left["SGD"]


def test_the_seven_of_the_lecture():
    for surface in SURFACES.values():
        assert list(surface.learning_rates) == [
            "SGD",
            "momentum",
            "Nesterov",
            "AdaGrad",
            "AdaDelta",
            "RMSProp",
            "Adam",
        ]
    built = optimizer_paths.optimizers(dict.fromkeys(surface.learning_rates, 0.1))
    kinds = [type(optimizer) for optimizer in built.values()]
    known = keras.optimizers
    assert kinds == [known.SGD, known.SGD, known.SGD, known.Adagrad, known.Adadelta, known.RMSprop, known.Adam]


SMALL = {"Bowl": Surface(bowl, (1.0, 0.0), (-1.5, 1.5, -1.0, 1.0), None, {"SGD": 0.1}, steps=4)}
PATHS = {"Bowl": {"SGD": np.array([[1, 0], [0.5, 0.5], [0, 0], [-0.5, np.nan], [np.inf, 0.2]])}}
BLUE = (31, 119, 180)


def blue(picture):
    return int((np.abs(picture.astype(int) - BLUE).max(axis=-1) < 12).sum())


def test_the_picture_has_the_path_within_the_surface():
    still = draw_optimizer_paths(SMALL, {"Bowl": {"SGD": PATHS["Bowl"]["SGD"][:1]}})
    drawn = draw_optimizer_paths(SMALL, PATHS)
    assert drawn.shape == still.shape and blue(drawn) > blue(still) + 100
    outside = draw_optimizer_paths(SMALL, {"Bowl": {"SGD": np.array([[9.0, 9.0], [8.0, 9.0]])}})
    assert blue(outside[:370]) == 0  # The legend has the colour too.
    with pytest.raises(ValueError, match=r"paths must be of the surfaces \['Bowl'\]. Received: \['Other'\]"):
        draw_optimizer_paths(SMALL, {"Other": {}})


def test_the_animation_grows_and_repeats(tmp_path):
    path = animate_optimizer_paths(SMALL, PATHS, tmp_path / "a" / "paths.gif", frames=4)
    with Image.open(path) as animation:
        assert animation.n_frames == 4 and animation.info["loop"] == 0
        counts = []
        for frame in range(4):
            animation.seek(frame)
            counts.append(blue(np.asarray(animation.convert("RGB"))))
        assert counts[0] < counts[1] < counts[2]
    assert [file.name for file in path.parent.iterdir()] == ["paths.gif"]
