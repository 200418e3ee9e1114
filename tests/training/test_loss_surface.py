import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.data.pipeline import Split
from tfdlcv.training.loss_surface import filter_normalized_direction, loss_surface, save
from tfdlcv.training.task import Task


def split(count=10):
    """Example i is the vector (i, 1) with the target 2 i."""
    values = tf.constant([[i, 1.0] for i in range(count)])
    return Split(
        num_examples=count,
        fetch=lambda indices: {"x": tf.gather(values, indices), "y": 2 * tf.gather(values, indices)[:, :1]},
        describe=str,
    )


def regression(weights=((1.5,), (0.5,))):
    x = keras.Input((2,), name="x")
    layer = keras.layers.Dense(1, name="linear")
    network = keras.Model(x, layer(x))
    layer.set_weights([np.array(weights), np.array([0.25])])

    def losses(batch, outputs):
        valid = tf.cast(batch["valid"], tf.float32)[:, None]
        return {"squared": tf.reduce_sum(tf.square(outputs - batch["y"]) * valid) / tf.reduce_sum(valid)}

    return Task(network, losses=losses)


def test_losses_are_those_of_the_moved_weights():
    """A linear network, whose loss at any weights can be computed without it."""
    task = regression()
    surface = loss_surface(task, split(), points=3, examples=10, radius=0.5, seed=7, batch_size=4)
    assert surface.num_examples == 10
    np.testing.assert_allclose(surface.steps, [-0.5, 0, 0.5])
    first, second = (filter_normalized_direction([task.network], seed=[7, i])[0][:, 0] for i in (0, 1))
    x = np.stack([np.arange(10), np.ones(10)], axis=1)
    for i, a in enumerate(surface.steps):
        for j, b in enumerate(surface.steps):
            weights = np.array([1.5, 0.5]) + a * first + b * second
            expected = np.mean((x @ weights + 0.25 - 2 * x[:, 0]) ** 2)
            assert surface.losses[i, j] == pytest.approx(expected, rel=1e-4)


def test_the_middle_is_evaluations_loss_and_nothing_moves():
    task = regression()
    before = task.network.get_weights()
    surface = loss_surface(task, split(), points=5, examples=100, radius=1.0, seed=0, batch_size=3)
    x = np.arange(10)
    assert surface.losses[2, 2] == pytest.approx(np.mean((1.5 * x + 0.75 - 2 * x) ** 2), rel=1e-5)
    for old, new in zip(before, task.network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_few_examples_are_spread_over_the_split():
    task = regression(((0.0,), (0.0,)))
    surface = loss_surface(task, split(), points=3, examples=3, radius=1.0, seed=0, batch_size=8)
    assert surface.num_examples == 3
    expected = np.mean([(0.25 - 2 * i) ** 2 for i in (0, 4, 9)])
    assert surface.losses[1, 1] == pytest.approx(expected, rel=1e-5)


def test_every_filter_of_a_direction_has_the_length_of_the_weights_filter():
    image = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(image)
    x = keras.layers.Conv2D(1, 1, name="single")(x)  # Its shape (1, 1, 3, 1) is that of a depthwise kernel.
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
    network = keras.Model(image, keras.layers.Dense(5, name="dense")(x))
    directions = filter_normalized_direction([network], seed=0)
    by_path = dict(zip([v.path for v in network.trainable_variables], directions, strict=True))
    for name, axes in (("depthwise", (0, 1)), ("single", (0, 1, 2)), ("conv", (0, 1, 2)), ("dense", (0,))):
        kernel = network.get_layer(name).get_weights()[0]
        lengths = np.sqrt(np.square(by_path[f"{name}/kernel"]).sum(axis=axes))
        np.testing.assert_allclose(lengths, np.sqrt(np.square(kernel).sum(axis=axes)), rtol=1e-4)
    assert all(not d.any() for d in directions if d.ndim == 1) and sum(d.ndim == 1 for d in directions) == 6


def test_it_does_not_matter_how_large_the_weights_of_a_normalised_network_are():
    """The reason for the scaling: with ReLU and normalisation, weights times ten compute the same."""
    keras.utils.set_random_seed(0)
    network = models.resnet_cifar((8, 8, 1), num_classes=3, depth=8)
    x = tf.random.stateless_normal((6, 8, 8, 1), seed=(0, 0))
    data = Split(6, lambda i: {"image": tf.gather(x, i), "label": tf.cast(i % 3, tf.int32)}, str)

    def losses(batch, outputs):
        return {"ce": tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], outputs))}

    task = Task(network, losses=losses)

    def surface():
        return loss_surface(task, data, points=3, examples=6, radius=0.5, seed=1, batch_size=6).losses

    before = surface()
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            following = network.get_layer(layer.name.replace("conv", "norm"))
            layer.set_weights([10 * weight for weight in layer.get_weights()])
            gamma, beta, mean, variance = following.get_weights()
            epsilon = following.epsilon
            following.set_weights([gamma, beta, 10 * mean, 100 * (variance + epsilon) - epsilon])
    np.testing.assert_allclose(surface(), before, rtol=1e-3)
    assert np.ptp(before) > 1e-3


def test_seeds_and_files(tmp_path):
    task = regression()
    options = {"points": 3, "examples": 10, "radius": 1.0, "batch_size": 4}
    one, again, other = (loss_surface(task, split(), seed=seed, **options) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.losses, again.losses)
    assert not np.allclose(one.losses, other.losses)
    with np.load(save(one, tmp_path / "folder" / "landscape.npz")) as file:
        np.testing.assert_array_equal(file["losses"], one.losses)
        assert file["num_examples"] == 10 and len(file["steps"]) == 3


def test_wrong_arguments():
    task = regression()
    options = {"points": 3, "examples": 10, "radius": 1.0, "batch_size": 4, "seed": 0}
    for change, message in (
        ({"points": 4}, "points must be odd and at least 3. Received: points=4"),
        ({"points": 1}, "points must be odd and at least 3. Received: points=1"),
        ({"radius": 0.0}, r"radius \(0.0\) must be above 0 and examples \(10\) at least 1"),
        ({"examples": 0}, r"radius \(1.0\) must be above 0 and examples \(0\)"),
    ):
        with pytest.raises(ValueError, match=message):
            loss_surface(task, split(), **(options | change))
