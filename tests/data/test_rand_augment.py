import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data import rand_augment

SHAPE = (12, 16, 3)
ALWAYS_AT_WORK = {"auto_contrast", "equalize"}


def images(count=6, shape=SHAPE) -> tf.Tensor:
    return tf.constant(np.random.RandomState(0).randint(10, 240, (count, *shape)), tf.float32)


def operations(magnitude, shape=SHAPE, **options):
    return rand_augment.operations(magnitude=magnitude, image_shape=shape, **options)


def test_the_fourteen_operations_of_the_paper():
    assert len(operations(5.0)) == 14
    assert set(operations(5.0)) - set(operations(5.0, (12, 16, 1))) == {"color"}


@pytest.mark.parametrize("name", operations(0.0))
def test_magnitude_0_changes_nothing_where_there_is_a_strength(name):
    result = operations(0.0)[name](images(), tf.constant([1.0, -1, 1, -1, 1, -1]))
    if name not in ALWAYS_AT_WORK:
        np.testing.assert_allclose(result, images(), atol=1e-3)


@pytest.mark.parametrize("name", sorted(set(operations(10.0)) - {"identity", *ALWAYS_AT_WORK}))
def test_a_larger_magnitude_changes_more(name):
    signs = tf.ones(6)
    changes = [float(tf.reduce_mean(abs(operations(m)[name](images(), signs) - images()))) for m in (0.0, 4.0, 10.0)]
    assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", operations(10.0))
def test_results_are_images(name, channels):
    shape = (12, 16, channels)
    available = operations(10.0, shape)
    if name not in available:
        return
    for count in (0, 1, 5):
        result = available[name](images(count, shape), tf.ones(count))
        assert result.shape == (count, *shape)
        assert result.dtype == tf.float32
        if count:
            assert tf.reduce_min(result) >= 0
            assert tf.reduce_max(result) <= 255


@pytest.mark.parametrize(
    "name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "contrast", "brightness"]
)
def test_operations_with_two_directions(name):
    one_way = operations(6.0)[name](images(), tf.ones(6))
    other_way = operations(6.0)[name](images(), -tf.ones(6))
    assert float(tf.reduce_mean(abs(one_way - other_way))) > 5


def test_strengths_at_magnitude_10():
    white = tf.fill((1, 331, 331, 1), 200.0)
    available = operations(10.0, (331, 331, 1))
    columns = available["translate_x"](white, tf.ones(1))[0, 100, :, 0].numpy()
    assert (columns == 0).sum() == 150
    assert columns[149] == 0  # To the right.
    assert columns[150] == 200
    sheared = available["shear_x"](white, tf.ones(1))[0, :, :, 0].numpy()
    assert abs((sheared[0] == 0).sum() - 0.3 * 165) <= 1
    np.testing.assert_allclose(available["brightness"](white, -tf.ones(1)), white * 0.1, rtol=1e-4)
    np.testing.assert_allclose(available["solarize"](white, tf.ones(1)), 255 - white)
    assert set(np.unique(available["posterize"](tf.reshape(tf.range(256.0), (1, 16, 16, 1)), tf.ones(1)))) == set(
        range(0, 256, 16)
    )


def test_fill_mode():
    white = tf.fill((1, 8, 8, 1), 200.0)
    assert operations(9.0, (8, 8, 1))["rotate"](white, tf.ones(1)).numpy().min() == 0
    filled = operations(9.0, (8, 8, 1), fill_mode="reflect")["rotate"](white, tf.ones(1))
    np.testing.assert_allclose(filled, 200.0, atol=1e-2)


def add(amount):
    return lambda images, signs: images + amount


def test_each_image_gets_its_own_operations():
    zeros = tf.zeros((4000, 1, 1, 1))
    available = [add(1.0), add(10.0), add(100.0)]
    result = rand_augment.rand_augment(zeros, tf.constant([1, 2]), available=available, num_ops=2).numpy().ravel()
    values, counts = np.unique(result, return_counts=True)
    assert values.tolist() == [2, 11, 20, 101, 110, 200]  # All pairs, with repetition,
    np.testing.assert_allclose(counts / 4000, [1 / 9, 2 / 9, 1 / 9, 2 / 9, 2 / 9, 1 / 9], atol=0.025)


def test_images_stay_in_their_places():
    numbers = tf.reshape(tf.range(50.0), (50, 1, 1, 1))
    result = rand_augment.rand_augment(numbers, tf.constant([1, 2]), available=[add(0.0), add(1000.0)], num_ops=3)
    np.testing.assert_array_equal(result.numpy() % 1000, numbers)


def test_both_directions_are_drawn():
    result = rand_augment.rand_augment(
        tf.zeros((1000, 1, 1, 1)),
        tf.constant([3, 4]),
        available=[lambda images, s: images + s[:, None, None, None]],
        num_ops=1,
    ).numpy()
    assert set(result.ravel()) == {-1.0, 1.0}
    assert abs(result.mean()) < 0.1


def test_the_seed_decides():
    available = list(operations(7.0).values())

    def apply(seed):
        return rand_augment.rand_augment(images(20), tf.constant(seed), available=available, num_ops=2)

    np.testing.assert_array_equal(apply([1, 2]), apply([1, 2]))
    assert not np.array_equal(apply([1, 2]), apply([1, 3]))
