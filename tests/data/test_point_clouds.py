import numpy as np
import pytest

from tfdlcv.data.clouds import Cloud, check_cloud
from tfdlcv.data.point_clouds import cloud_split, examples, feature_columns, prepare
from tfdlcv.data.pyramid import PyramidSpec
from tfdlcv.errors import UserError

RANDOM = np.random.default_rng(0)


class Source:
    """Clouds of 40 points; counts how often each is loaded."""

    def __init__(self, **attributes):
        self.attributes = attributes
        self.loads = []

    def __len__(self):
        return 3

    def load(self, index):
        self.loads.append(index)
        positions = np.random.default_rng(index).normal(size=(40, 3)).astype(np.float32)
        return Cloud(positions, **{"label": index, **self.attributes})

    def describe(self, index):
        return f"cloud {index}"


def split_of(source, **options):
    return cloud_split(
        source,
        **{
            "points": 40,
            "features": ("ones", "position"),
            "spec": PyramidSpec(neighbors=4, levels=2, upsampling_neighbors=2),
            "label_of": "cloud",
            "centre": "mean",
            **options,
        },
    )


def test_centres():
    positions = np.array([1e6, 2e6, 50]) + RANDOM.normal(size=(50, 3))
    mean, _ = prepare(Cloud(positions), ["ones"], centre="mean")
    np.testing.assert_allclose(mean, positions - positions.mean(axis=0), atol=1e-6)
    assert mean.dtype == np.float32
    sphere, _ = prepare(Cloud(positions), ["ones"], centre="unit_sphere")
    np.testing.assert_allclose(sphere, mean / np.linalg.norm(mean, axis=1).max(), atol=1e-6)
    for up_axis in (1, 2):
        floor, _ = prepare(Cloud(positions), ["ones"], centre="floor", up_axis=up_axis)
        low, high = floor.min(axis=0), floor.max(axis=0)
        assert low[up_axis] == 0
        np.testing.assert_allclose((low + high)[[a for a in range(3) if a != up_axis]], 0, atol=1e-6)


def test_features_in_their_order():
    cloud = Cloud(
        positions=np.array([[0, 0, 2], [0, 0, 5]], np.float32),
        color=np.array([[0, 255, 51], [255, 0, 102]], np.uint8),
        normal=np.array([[0, 0, 1], [1, 0, 0]], np.float32),
        intensity=np.array([3, 4], np.float32),
        category=1,
    )
    names = ["color", "height", "intensity", "category", "normal", "ones"]
    _, features = prepare(cloud, names, centre="floor", num_categories=2)
    expected = [
        [-0.5, 0.5, -0.3, 0, 3, 0, 1, 0, 0, 1, 1],
        [0.5, -0.5, -0.1, 3, 4, 0, 1, 1, 0, 0, 1],
    ]
    np.testing.assert_allclose(features, expected, atol=1e-6)
    columns = feature_columns(names, num_categories=2)
    assert columns["height"] == slice(3, 4) and columns["category"] == slice(5, 7) and columns["ones"] == slice(10, 11)
    np.testing.assert_array_equal(features[:, columns["normal"]], cloud.normal)


def test_features_that_do_not_exist():
    with pytest.raises(UserError, match="there is no smell; choose from ones, position"):
        feature_columns(["smell"])
    with pytest.raises(UserError, match="names ones twice"):
        feature_columns(["ones", "ones"])
    with pytest.raises(UserError, match="scan.xyz: the cloud has no color, which data.features asks for"):
        prepare(Cloud(np.zeros((4, 3))), ["color"], centre="mean", source="scan.xyz")


def test_a_batch_is_whole():
    split = split_of(Source())
    batch = examples(split, [2, 0])
    assert batch["label"].tolist() == [2, 0]
    assert {name: value.shape for name, value in batch.items()} == {
        "positions": (2, 40, 3), "features": (2, 40, 4), "label": (2,),
        "neighbors0": (2, 40, 4), "pool0": (2, 10, 4), "up0": (2, 40, 2), "neighbors1": (2, 10, 4),
    }  # fmt: skip
    assert split.describe(1) == "cloud 1" and split.num_examples == 3
    np.testing.assert_array_equal(batch["features"][..., 1:], batch["positions"])


@pytest.mark.parametrize("keep", [True, False])
def test_clouds_are_kept_or_made_anew(keep):
    source = Source()
    split = split_of(source, keep=keep)
    first, second = examples(split, [1, 1]), examples(split, [1])
    assert len(source.loads) == (1 if keep else 3)
    for name in first:
        np.testing.assert_array_equal(first[name][0], first[name][1])
        np.testing.assert_array_equal(first[name][0], second[name][0])


def test_labels_of_points_and_categories():
    labels = np.arange(40, dtype=np.int32)
    split = split_of(Source(label=labels, category=1), label_of="point", features=("category",), num_categories=3)
    batch = examples(split, [0])
    np.testing.assert_array_equal(batch["label"][0], labels)
    assert batch["category"].tolist() == [1]
    np.testing.assert_array_equal(batch["features"][0, 5], [0, 1, 0])


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (Cloud(np.zeros((0, 3))), "scan: the cloud is empty"),
        (Cloud(np.zeros((4, 2))), r"scan: positions must be \(points, 3\), but are \(4, 2\)"),
        (Cloud(np.zeros((4, 3))), "scan: the cloud has 4 points, but at least 9 are needed"),
        (Cloud(np.full((9, 3), np.nan)), r"scan: positions of point 0 is not finite: \[nan, nan, nan\]"),
        (Cloud(np.zeros((9, 3)), normal=np.full((9, 3), np.inf)), "scan: normal of point 0 is not finite"),
        (Cloud(np.zeros((9, 3)), label=np.zeros(8, int)), "scan: label has 8 rows for 9 points"),
    ],
)
def test_clouds_that_cannot_be_used(cloud, message):
    with pytest.raises(UserError, match=message):
        check_cloud(cloud, "scan", at_least=9)


def test_selected_points_keep_what_is_known_of_them():
    cloud = Cloud(RANDOM.normal(size=(5, 3)), color=np.arange(15, dtype=np.uint8).reshape(5, 3), category=4, label=2)
    some = cloud.select(np.array([3, 1]))
    np.testing.assert_array_equal(some.positions, cloud.positions[[3, 1]])
    np.testing.assert_array_equal(some.color, cloud.color[[3, 1]])
    assert (some.category, some.label, some.normal, len(some)) == (4, 2, None, 2)


def test_repeated_points_follow_all_points():
    cloud = Cloud(RANDOM.normal(size=(5, 3)), color=np.arange(15, dtype=np.uint8).reshape(5, 3), category=4)
    more = cloud.repeated(12, np.random.default_rng(0))
    np.testing.assert_array_equal(more.positions[:5], cloud.positions)
    assert len(more) == len(more.color) == 12 and more.category == 4
    rows = {(*position, *color) for position, color in zip(cloud.positions, cloud.color, strict=True)}
    assert {(*position, *color) for position, color in zip(more.positions, more.color, strict=True)} == rows
    np.testing.assert_array_equal(cloud.repeated(5, np.random.default_rng(0)).positions, cloud.positions)
