import numpy as np
import pytest

from tfdlcv import models


def test_layers_have_the_parameters_that_the_lecture_prints():
    network = models.lecture_convnet(dropout=0.5)
    counts = {layer.name: layer.count_params() for layer in network.layers if layer.weights}
    assert counts == {"conv0": 320, "conv1": 9_248, "conv2": 9_248, "conv3": 9_248, "fc0": 803_328, "logits": 5_130}
    assert network.count_params() == 836_522


def test_dropout_is_in_front_of_the_logits_and_for_training_alone():
    network = models.lecture_convnet(dropout=0.5)
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype("float32")
    np.testing.assert_array_equal(network(x), network(x, training=False))
    assert not np.allclose(network(x), network(x, training=True))
    assert network.layers[-2].rate == 0.5
    assert all(layer.name != "dropout" for layer in models.lecture_convnet().layers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 28, 1)}, r"at least 4. Received: input_shape=\(3, 28, 1\)"),
        ({"input_shape": (None, 28, 1)}, "lecture_convnet needs the size of its images"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\). Received: dropout=1.0"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.lecture_convnet(**arguments)
