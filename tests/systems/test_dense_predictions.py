"""Files, pictures and tables of what was found, with functions in place of networks."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.published_masks import write_image, write_mask
from tfdlcv.data.mask_decoding import MaskFormat, value_table
from tfdlcv.errors import UserError
from tfdlcv.systems.clustering import KMeansConfig
from tfdlcv.systems.dense_predictions import Segmentation, cluster_files, measure_files, segment_files
from tfdlcv.systems.image_predictions import names_of_results
from tfdlcv.visualization.label_maps import palette

FACTS = {"class_names": ["ground", "left", "right"], "palette": [[0, 0, 0], [200, 0, 0], [0, 0, 200]]}
MASKS = MaskFormat(value_table(range(3)), "{}.png".format)


def segment(image, mask):
    """The left half is `left`, the right one ground."""
    labels = np.zeros(image.shape[:2], np.uint8)
    labels[:, : image.shape[1] // 2] = 1
    confidence = np.full(labels.shape, 0.75, np.float32)
    return Segmentation(labels, FACTS["class_names"], FACTS["palette"], labels, confidence)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(tmp_path):
    for name, size in {"a.png": (20, 30), "b.jpg": (24, 16)}.items():
        write_image(tmp_path / "images" / name, *size)
    return tmp_path / "images"


def segmented(paths, directory, truth=None, on_error="stop", masks=MASKS):
    return segment_files(segment, paths, directory, facts=FACTS, masks=masks, truth=truth, on_error=on_error)


def test_label_maps_pictures_and_a_table(images, tmp_path):
    written = segmented([images], tmp_path / "out")
    with Image.open(tmp_path / "out" / "labels" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), segment(np.zeros((20, 30, 3)), None).labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette(FACTS["palette"])[np.asarray(image)])
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"a.png", "b.png"}
    assert all(path.is_file() for path in written.values())
    first, second = rows_of(tmp_path / "out" / "predictions.csv")
    assert (first["height"], first["width"], second["height"]) == ("20", "30", "24")
    assert first["share of left"] == "0.5" and first["mean_confidence"] == "0.75" and "mean_iou" not in first


def test_scores_where_the_truth_is_known(images, tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :10], mask[:, 20:] = 1, 255
    write_mask(tmp_path / "truth" / "a.png", mask)
    segmented([images / "a.png"], tmp_path / "out", truth=tmp_path / "truth")
    (row,) = rows_of(tmp_path / "out" / "predictions.csv")
    # Of 200 known left and 200 known ground pixels: columns 10 to 14 are taken for left.
    assert float(row["accuracy"]) == 0.75 and float(row["mean_iou"]) == pytest.approx(
        (200 / 300 + 100 / 200) / 2, abs=1e-4
    )
    table = rows_of(tmp_path / "out" / "per_class.csv")
    assert [each["class"] for each in table] == FACTS["class_names"]
    assert [each["pixels"] for each in table] == ["200", "200", "0"]
    assert (table[1]["iou"], table[1]["precision"], table[2]["iou"]) == ("0.6667", "0.6667", "nan")


def test_truth_with_the_values_and_names_of_its_data_set(images, tmp_path):
    mask = np.full((20, 30), 50, np.uint8)
    mask[:, :15], mask[0] = 255, 11
    write_mask(tmp_path / "truth" / "a_mask.png", mask)
    masks = MaskFormat(value_table([50, 255, 7], void_value=11), "{}_mask.png".format)
    segmented([images / "a.png"], tmp_path / "out", truth=tmp_path / "truth", masks=masks)
    assert rows_of(tmp_path / "out" / "predictions.csv")[0]["accuracy"] == "1.0"
    assert [row["pixels"] for row in rows_of(tmp_path / "out" / "per_class.csv")] == ["285", "285", "0"]


def test_files_of_one_name_do_not_overwrite_each_other(images, tmp_path):
    for height, part in enumerate("xy", start=10):
        write_image(images / part / "c" / "a.png", height, 10)
    written = segmented([images], tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    assert [row["name"] for row in rows] == ["a", "b", "a_2", "a_3"] and len(set(written.values())) == 9
    for row in rows:
        with Image.open(tmp_path / "out" / "labels" / f"{row['name']}.png") as labels:
            assert labels.height == int(row["height"])


def test_numbers_of_names_are_not_names_of_other_files():
    paths = [Path(name) for name in ("x/a.png", "a_2.png", "a.jpg", "y/a_2.png", "y/a.png")]
    assert [*names_of_results(paths)] == ["a", "a_2", "a_3", "a_2_2", "a_4"]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((20, 31), np.uint8), "has 20 x 31 pixels .* but image .*a.png has 20 x 30"),
        (np.full((20, 30), 3, np.uint8), "a.png holds 3, but the data set has 0..2 for its 3 classes"),
        (np.full((20, 30), 255, np.uint8), "is void all over"),
        (None, "there is no mask .*a.png"),
    ],
)
def test_truth_that_does_not_fit(mask, message, images, tmp_path):
    if mask is not None:
        write_mask(tmp_path / "truth" / "a.png", mask)
    with pytest.raises(UserError, match=message):
        segmented([images / "a.png"], tmp_path / "out", truth=tmp_path / "truth")


def test_faults_name_the_file_and_can_be_skipped(images, tmp_path, capsys):
    (images / "c.png").write_bytes(b"no image")

    def picky(image, mask):
        if image.shape[0] > 20:
            raise UserError("the image of 24 x 16 pixels is too large")
        return segment(image, mask)

    options = {"facts": FACTS, "masks": MASKS, "truth": None}
    with pytest.raises(UserError, match=r"b.jpg: the image of 24 x 16 pixels is too large"):
        segment_files(picky, [images], tmp_path / "out", on_error="stop", **options)
    segment_files(picky, [images], tmp_path / "out", on_error="skip", **options)
    assert [row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv")] == [str(images / "a.png")]
    printed = capsys.readouterr().out
    assert "b.jpg: the image of 24 x 16" in printed and "c.png" in printed
    with pytest.raises(UserError, match="there is no image to predict"):
        segment_files(picky, [images / "c.png"], tmp_path / "out", on_error="skip", **options)


def test_clusters_are_named_by_the_truth(tmp_path):
    image = np.zeros((12, 12, 3), np.uint8)
    image[:, 6:] = 250
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    write_mask(tmp_path / "truth" / "a.png", np.where(image[..., 0] > 0, 2, 1))
    config, options = KMeansConfig(name="kmeans", clusters=2), {"facts": FACTS, "masks": MASKS, "on_error": "stop"}
    for truth in (None, tmp_path / "truth"):
        cluster_files(config, [tmp_path / "images"], tmp_path / "out", truth=truth, **options)
        (row,) = rows_of(tmp_path / "out" / "predictions.csv")
        assert row["share of cluster 0"] == "0.5"
    assert float(row["mean_iou"]) == 1 and "mean_confidence" not in row


def test_numbers_are_written_and_compared(images, tmp_path):
    def depth_of(image):
        return np.full((*image.shape[:2], 1), 2.0, np.float32)

    truth = np.full((20, 30), np.nan, np.float32)
    truth[0] = 3
    (tmp_path / "truth").mkdir()
    np.save(tmp_path / "truth" / "a.npy", truth)
    options = {"target": {"name": "depth", "channels": 1}, "on_error": "stop"}
    measure_files(depth_of, [images / "a.png"], tmp_path / "out", truth=tmp_path / "truth", **options)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "values" / "a.npy"), depth_of(np.zeros((20, 30, 3))))
    (row,) = rows_of(tmp_path / "out" / "predictions.csv")
    assert row["rmse"] == "1.0" and row["nearest"] == "2.0"
    assert (tmp_path / "out" / "overlays" / "a.png").is_file()
    np.save(tmp_path / "truth" / "a.npy", truth[1:])
    with pytest.raises(UserError, match=r"a.npy must be \(20, 30, 1\) as its image. Received: shape=\(19, 30, 1\)"):
        measure_files(depth_of, [images / "a.png"], tmp_path / "out", truth=tmp_path / "truth", **options)
