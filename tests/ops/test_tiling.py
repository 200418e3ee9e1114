"""Tiles: each pixel once, the same values as the whole image, and no more memory than a tile takes."""

import numpy as np
import pytest
from scipy import ndimage

from tfdlcv.ops import tiling


def blurred(images):
    """(1, h, w, C) -> the mean of 5 x 5 pixels, zeros outside: a network of radius 2."""
    return ndimage.uniform_filter(images, size=(1, 5, 5, 1), mode="constant")


@pytest.mark.parametrize("height, width, tile", [(23, 17, 8), (16, 16, 8), (5, 40, 7), (3, 3, 50), (1, 1, 1)])
def test_tiles_with_a_halo_give_what_the_whole_image_gives(height, width, tile):
    image = np.random.default_rng(0).normal(size=(height, width, 3))
    result = tiling.tiled(blurred, image, tile=tile, halo=2)
    np.testing.assert_allclose(result, blurred(image[None])[0], atol=1e-12)


def test_a_halo_below_the_radius_does_not():
    image = np.random.default_rng(0).normal(size=(20, 20, 1))
    result = tiling.tiled(blurred, image, tile=10, halo=1)
    wrong = ~np.isclose(result, blurred(image[None])[0])[..., 0]
    # Of two neighbouring rows at a seam, each lacks one that is two away; and so do columns.
    assert set(np.flatnonzero(wrong.any(axis=1) & ~wrong.all(axis=1))) == {*range(20)} - {9, 10}
    assert wrong[9].all() and wrong[10].all() and wrong[:, 9].all() and wrong[:, 10].all()


def test_every_pixel_lies_in_one_tile_and_windows_are_bounded():
    covered = np.zeros((31, 47), int)
    for window in tiling.windows(31, 47, tile=10, halo=4):
        covered[window.tile] += 1
        rows, columns = window.seen
        assert rows.stop - rows.start <= 18 and columns.stop - columns.start <= 18
        np.testing.assert_array_equal(covered[window.tile], covered[window.seen][window.inside])
    assert (covered == 1).all()


def test_strides_are_kept_in_step():
    """A network that halves and doubles: means of 2 x 2 pixels, counted from the image's corner."""

    def pooled(images):
        rows, columns = (np.arange(0, size, 2) for size in images.shape[1:3])
        sums = np.add.reduceat(np.add.reduceat(images, rows, axis=1), columns, axis=2)
        return sums.repeat(2, axis=1).repeat(2, axis=2)[:, : images.shape[1], : images.shape[2]]

    image = np.random.default_rng(0).normal(size=(13, 9, 2))
    np.testing.assert_allclose(tiling.tiled(pooled, image, tile=4, halo=2), pooled(image[None])[0])
    assert not np.allclose(tiling.tiled(pooled, image, tile=3, halo=2), pooled(image[None])[0])


def test_a_function_may_give_other_channels_and_types():
    image = np.arange(12).reshape(3, 4, 1).astype("uint8")
    result = tiling.tiled(lambda x: np.concatenate([x > 5, x > 7], axis=-1), image, tile=2, halo=0)
    assert result.dtype == bool and result.shape == (3, 4, 2)
    np.testing.assert_array_equal(result[..., 1], image[..., 0] > 7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tile": 0, "halo": 1}, r"tile must be at least 1 and halo at least 0. Received: tile=0, halo=1"),
        ({"tile": 4, "halo": -1}, r"Received: tile=4, halo=-1"),
    ],
)
def test_numbers_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiling.tiled(blurred, np.zeros((4, 4, 1)), **arguments)


def test_a_function_that_changes_the_size():
    with pytest.raises(ValueError, match=r"function must keep the size \(1, 4, 4\). Received: shape=\(1, 2, 2, 1\)"):
        tiling.tiled(lambda x: x[:, ::2, ::2], np.zeros((4, 4, 1)), tile=4, halo=0)
    with pytest.raises(ValueError, match="an image must have pixels. Received: height=0, width=3"):
        list(tiling.windows(0, 3, tile=2, halo=0))
