import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.ops import hypersphere, prototypes


def gradient_of_cosine(embedding, direction):
    z = tf.constant(embedding)
    with tf.GradientTape() as tape:
        tape.watch(z)
        cosine = hypersphere.cosine(z, np.asarray(direction, "float32"))
    return cosine.numpy(), tape.gradient(cosine, z).numpy()


def test_cosine_by_hand_and_its_sign_counts():
    cosine, gradient = gradient_of_cosine([3.0, 4.0], [1, 0])
    assert cosine == pytest.approx(0.6)
    # p / |z| - cos z / |z|^2.
    np.testing.assert_allclose(gradient, [1 / 5 - 0.6 * 3 / 25, -0.6 * 4 / 25], rtol=1e-6)
    assert gradient_of_cosine([-2.0, 0.0], [1, 0])[0] == pytest.approx(-1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_zero_embeddings_have_a_finite_gradient_in_every_precision(dtype):
    z = tf.zeros((2, 5), dtype)
    with tf.GradientTape() as tape:
        tape.watch(z)
        cosine = hypersphere.cosine(z, prototypes.simplex(6)[:2])
    gradient = tf.cast(tape.gradient(cosine, z), "float32").numpy()
    np.testing.assert_array_equal(cosine, [0, 0])
    assert np.isfinite(gradient).all()
    assert np.linalg.norm(gradient, axis=1).max() <= 1.01 / hypersphere.SMALLEST_NORM


def test_short_embeddings_keep_their_direction():
    for length in (1e-30, 1e-4, 1e-3, 1.0, 1e15):
        unit = keras.ops.convert_to_numpy(
            hypersphere.normalize(np.array([[0.6, -0.8]], "float32") * np.float32(length))
        )
        np.testing.assert_allclose(unit, min(length / 1e-3, 1) * np.array([[0.6, -0.8]]), rtol=1e-5)


def test_classify():
    outputs = hypersphere.classify(np.array([[0.0, 7.0], [-1.0, 0.1], [2.0, -1.0]], "float32"), np.eye(2))
    np.testing.assert_array_equal(outputs["class_id"], [1, 1, 0])
    np.testing.assert_allclose(outputs["cosine"], [1, 0.1 / np.sqrt(1.01), 2 / np.sqrt(5)], rtol=1e-6)
    assert outputs["cosines"].shape == (3, 2)


def test_values_and_cosines_are_inverse():
    interval = {"lower": 1000.0, "upper": 1932.0}
    years = np.array([1000.0, 1466.0, 1932.0, 1700.0], "float32")
    cosines = hypersphere.value_to_cosine(years, **interval)
    np.testing.assert_allclose(cosines[:3], [-1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(hypersphere.cosine_to_value(cosines, **interval), years, rtol=1e-6)


def test_angles():
    np.testing.assert_allclose(
        hypersphere.angle_degrees(np.array([1.0000001, 0.5, 0, -1])), [0, 60, 90, 180], atol=1e-4
    )


@pytest.mark.parametrize("lower, upper", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_interval(lower, upper):
    with pytest.raises(ValueError, match=r"lower \(.*\) must be less than upper \(.*\)"):
        hypersphere.check_interval(lower, upper)
