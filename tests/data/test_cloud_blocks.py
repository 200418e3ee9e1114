"""Blocks give exactly what the whole cloud gives, however small they are and however deep the network is."""

import numpy as np
import pytest

from tfdlcv.data.cloud_blocks import blocks
from tfdlcv.data.pyramid import PyramidSpec, build_pyramid, spatial_order
from tfdlcv.models import flex_unet

POINTS = 900


@pytest.fixture(scope="module")
def positions():
    cloud = np.random.default_rng(0).random((POINTS, 3)).astype(np.float32) * np.float32([20, 20, 1])
    return cloud[spatial_order(cloud)]


def spec_of(levels):
    return PyramidSpec(neighbors=5, levels=levels, ratio=3, upsampling_neighbors=2)


@pytest.mark.parametrize(
    ("levels", "encoder_blocks", "decoder_blocks", "size"),
    [(3, 1, 1, 100), (2, 2, 0, 7), (1, 2, 1, 64), (3, 2, 2, 250)],
)
def test_blocks_are_the_whole(levels, encoder_blocks, decoder_blocks, size, positions):
    spec = spec_of(levels)
    depth = {"encoder_blocks": encoder_blocks, "decoder_blocks": decoder_blocks}
    network = flex_unet(
        3, features=2, filters=(4, 6, 8)[:levels], neighbors=5, upsampling_neighbors=2, ratio=3, **depth
    )
    random = np.random.default_rng(1)
    features = random.normal(size=(POINTS, 2)).astype(np.float32)
    pyramid = build_pyramid(positions, spec, random=random)

    def logits(positions, features, pyramid):
        inputs = {"positions": positions, "features": features, **pyramid}
        return np.asarray(network({name: value[None] for name, value in inputs.items()}, training=False))[0]

    whole = logits(positions, features, pyramid)
    pieces, smallest = [], POINTS
    for block in list(blocks(pyramid, spec, size=size, **depth))[:8]:
        pieces.append(logits(positions[block.points], features[block.points], block.pyramid)[block.places])
        smallest = min(smallest, len(block.points))
        assert block.wanted[1] - block.wanted[0] == len(block.places)
        np.testing.assert_array_equal(block.points[block.places], np.arange(*block.wanted))
    pieces = np.concatenate(pieces)
    np.testing.assert_allclose(pieces, whole[: len(pieces)], rtol=1e-5, atol=1e-6)
    assert smallest < POINTS, "a block was never smaller than the cloud"


def test_a_block_is_what_its_results_depend_on(positions):
    """What lies outside a block changes nothing of what it gives, what lies inside does."""
    spec = spec_of(2)
    network = flex_unet(3, features=2, filters=(4, 6), neighbors=5, upsampling_neighbors=2, ratio=3)
    random = np.random.default_rng(1)
    features = random.normal(size=(POINTS, 2)).astype(np.float32)
    pyramid = build_pyramid(positions, spec, random=random)
    block = next(blocks(pyramid, spec, size=20, encoder_blocks=1, decoder_blocks=1))

    def wanted(features):
        inputs = {"positions": positions, "features": features, **pyramid}
        return np.asarray(network({n: v[None] for n, v in inputs.items()}, training=False))[0, :20]

    before = wanted(features)
    outside = np.setdiff1d(np.arange(POINTS), block.points)
    changed = features.copy()
    changed[outside] += 100
    np.testing.assert_array_equal(wanted(changed), before)
    changed = features.copy()
    changed[block.points] += 100
    assert np.abs(wanted(changed) - before).max() > 1


def test_all_in_one_block(positions):
    spec = spec_of(2)
    pyramid = build_pyramid(positions, spec, random=np.random.default_rng(0))
    (block,) = blocks(pyramid, spec, size=10_000, encoder_blocks=1, decoder_blocks=1)
    assert block.wanted == (0, POINTS) and block.pyramid is pyramid
