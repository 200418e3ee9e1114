"""Pixels are grouped by colour and place."""

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tfdlcv.errors import UserError
from tfdlcv.systems.clustering import AgglomerativeConfig, KMeansConfig, cluster, name_clusters


def quarters(side=24):
    """Four squares: two of one colour, at opposite corners, and two others."""
    image = np.full((side, side, 3), (200, 30, 30), np.uint8)
    image[: side // 2, side // 2 :] = (30, 200, 30)
    image[side // 2 :, : side // 2] = (30, 30, 200)
    return image


def patches(labels):
    """The one label in each quarter."""
    side = len(labels) // 2
    corners = [labels[y : y + side, x : x + side] for y in (0, side) for x in (0, side)]
    assert all(len(np.unique(corner)) == 1 for corner in corners)
    return [int(corner[0, 0]) for corner in corners]


def test_kmeans_joins_what_has_one_colour():
    labels = cluster(quarters(), KMeansConfig(name="kmeans", clusters=3, place_weight=0.0))
    assert labels.dtype == np.int32
    first, second, third, last = patches(labels)
    assert first == last == 0 and {second, third} == {1, 2}  # The largest is 0.


def test_places_tell_apart_what_has_one_colour():
    labels = cluster(quarters(), KMeansConfig(name="kmeans", clusters=4, place_weight=2.0))
    assert sorted(patches(labels)) == [0, 1, 2, 3]


def test_the_seed_decides():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    config = KMeansConfig(name="kmeans", clusters=5, starts=1)
    np.testing.assert_array_equal(cluster(image, config), cluster(image, config))
    assert (cluster(image, config) != cluster(image, config.model_copy(update={"seed": 3}))).any()


@pytest.mark.parametrize("linkage", ["ward", "average", "complete", "single"])
def test_only_neighbours_are_merged(linkage):
    config = AgglomerativeConfig(name="agglomerative", clusters=4, linkage=linkage, superpixels=None)
    assert sorted(patches(cluster(quarters(), config))) == [0, 1, 2, 3]


def test_merging_stops_at_a_distance():
    config = AgglomerativeConfig(name="agglomerative", clusters=None, distance=0.2, linkage="average", superpixels=None)
    assert len(np.unique(cluster(quarters(), config))) == 4
    assert len(np.unique(cluster(quarters(), config.model_copy(update={"distance": 5.0})))) == 1


def test_superpixels_stand_for_their_pixels():
    image = quarters(64)
    labels = cluster(image, AgglomerativeConfig(name="agglomerative", clusters=4, superpixels=60))
    inside = labels[4:28, 4:28], labels[4:28, 36:60], labels[36:60, 4:28], labels[36:60, 36:60]
    assert sorted(int(part[0, 0]) for part in inside) == [0, 1, 2, 3]
    assert all((part == part[0, 0]).all() for part in inside)


def test_the_truth_names_clusters():
    clusters = np.array([[0, 0, 0, 1], [1, 1, 2, 2]])
    truth = np.array([[3, 3, 1, 255], [1, 255, 255, 255]])
    np.testing.assert_array_equal(name_clusters(clusters, truth, 4), [3, 1, 255])


def test_too_few_and_too_many_pixels():
    with pytest.raises(UserError, match="the image of 4 pixels cannot have 6 clusters"):
        cluster(np.zeros((2, 2, 3), np.uint8), KMeansConfig(name="kmeans"))
    with pytest.raises(UserError, match="300 x 300 pixels is too large to merge pixels"):
        cluster(np.zeros((300, 300, 3), np.uint8), AgglomerativeConfig(name="agglomerative", superpixels=None))


@pytest.mark.parametrize("ends", [{"clusters": None}, {"distance": 0.5}])
def test_merging_ends_in_one_way(ends):
    with pytest.raises(ValidationError, match="give one, and null for the other"):
        TypeAdapter(AgglomerativeConfig).validate_python({"name": "agglomerative", **ends})
