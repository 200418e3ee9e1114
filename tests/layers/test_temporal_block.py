"""The block against its parts, thinned against full, and its kinds of dropout."""

import keras
import numpy as np
import pytest

from tfdlcv.layers import TemporalBlock


def noise(*shape):
    return np.random.RandomState(0).randn(*shape).astype("float32")


@pytest.mark.parametrize("channels", [4, 3])
def test_equals_its_parts(channels):
    block, x = TemporalBlock(4, 3, dilation_rate=2), noise(2, 9, channels)
    outputs = block(x)
    relu = keras.ops.relu
    first, second = block.convolutions
    branch = relu(second(relu(first(x))))
    residual = x if channels == 4 else x @ block.shortcut.kernel.numpy() + block.shortcut.bias.numpy()
    np.testing.assert_allclose(outputs, relu(branch + residual), rtol=1e-5, atol=1e-6)
    assert (block.shortcut is None) == (channels == 4)
    plain = (3 * channels * 4 + 2 * 4) + (3 * 4 * 4 + 2 * 4)
    assert block.count_params() == plain + (0 if channels == 4 else 3 * 4 + 4)


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
@pytest.mark.parametrize("known", [True, False])
def test_thinned_equals_the_full_computation(steps, known):
    """Input every second step, output every fourth, as the block of dilation 2 has in a network of three."""
    full, x = TemporalBlock(4, 3, dilation_rate=2), noise(2, steps, 4)
    thinned = TemporalBlock(4, 3, dilation_rate=2, input_stride=2, output_stride=4)
    expected = np.asarray(full(x))[:, ::-1][:, ::4][:, ::-1]
    part = x[:, (steps - 1) % 2 :: 2]
    inputs = keras.Input((part.shape[1] if known else None, 4))
    model = keras.Model(inputs, thinned(inputs))
    thinned.set_weights(full.get_weights())
    np.testing.assert_allclose(model(part), expected, rtol=1e-5, atol=1e-6)
    assert thinned.compute_output_shape(part.shape) == expected.shape


def test_dropout_of_channels_spares_or_drops_a_whole_channel_of_a_sequence():
    ones = np.ones((4, 50, 8), "float32")
    for kind in ("element", "channel"):
        block = TemporalBlock(8, 1, dilation_rate=1, dropout=0.5, dropout_kind=kind)
        block.build(ones.shape)
        dropped = np.asarray(block.dropouts[0](ones, training=True)) == 0
        assert 0.2 < dropped.mean() < 0.8
        assert (dropped == dropped[:, :1]).all() == (kind == "channel")
        np.testing.assert_array_equal(block(ones, training=False), block(ones, training=False))
        assert (np.asarray(block(ones, training=True)) != np.asarray(block(ones, training=True))).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout_kind": "row"}, "dropout_kind='row'"),
        ({"dilation_rate": 3, "input_stride": 2}, "dilation_rate \\(3\\) must be a multiple of input_stride \\(2\\)"),
        ({"dilation_rate": 2, "input_stride": 2, "output_stride": 3}, "output_stride \\(3\\).*input_stride \\(2\\)"),
        ({"dilation_rate": 2, "output_stride": 2}, "strides=2, dilation_rate=2"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TemporalBlock(**{"filters": 4, "kernel_size": 2, "dilation_rate": 1, **arguments})
