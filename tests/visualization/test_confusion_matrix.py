import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfdlcv.visualization import pictures
from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix


def positions(picture, rgb):
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((picture == np.array(rgb, "uint8")).all(axis=-1))


def test_rows_are_true_classes():
    matrix = np.diag([5, 5, 0])
    matrix[2, 0] = 5  # Class 2, always taken for class 0: the cell at the lower left.
    picture = draw_confusion_matrix(matrix)
    right_rows, right_columns = positions(picture, pictures.RIGHT)
    wrong_rows, wrong_columns = positions(picture, pictures.WRONG)
    assert wrong_rows.min() > right_rows.max()
    assert wrong_columns.max() < np.median(right_columns)


def test_without_mistakes_nothing_is_orange():
    picture = draw_confusion_matrix(np.diag([3, 4, 5]))
    assert len(positions(picture, pictures.WRONG)[0]) == 0
    assert len(positions(picture, pictures.RIGHT)[0]) > 3 * 60**2


def test_one_mistake_in_a_hundred_is_seen():
    matrix = np.diag([99.0, 100, 100])
    clean = draw_confusion_matrix(matrix).astype(int)
    matrix[0, 2] = 1
    cell = np.abs(draw_confusion_matrix(matrix).astype(int) - clean).max(axis=-1) >= 8
    assert cell.sum() > 2000  # Most of a cell's 8,100 pixels differ visibly.


def test_shade_is_the_share_of_the_row_not_the_count():
    picture = draw_confusion_matrix(np.diag([1, 10, 1000]))
    rows, _ = positions(picture, pictures.RIGHT)
    thirds = np.histogram(rows, bins=3, range=(rows.min(), rows.max() + 1))[0]
    assert thirds.min() > 0.9 * thirds.max()


@pytest.mark.parametrize(("num_classes", "least"), [(2, 180), (10, 520), (25, 850), (100, 1300)])
def test_size_leaves_room_for_every_name(num_classes, least):
    names = [f"class number {i}" for i in range(num_classes)]
    picture = draw_confusion_matrix(np.eye(num_classes), names)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert least < picture.shape[0] < least + 350
    margin = picture[:, -3:]  # Nothing is cut off at the right,
    assert (margin == 255).all()
    assert (picture[:, :3] == 255).all()  # left,
    assert (picture[-3:] == 255).all()  # or below.


def test_a_thousand_classes_and_long_names_stay_bounded():
    assert max(draw_confusion_matrix(np.eye(1000)).shape) < 1400
    assert max(draw_confusion_matrix(np.eye(3), ["x" * 500] * 3).shape) < 900


def test_empty_rows_and_fractional_weights_are_drawn():
    assert draw_confusion_matrix(np.zeros((3, 3))).size
    assert draw_confusion_matrix(np.array([[0.5, 0.25], [0, 0]])).size


def test_wrong_arguments_name_their_values():
    with pytest.raises(ValueError, match=r"Received: shape=\(2, 3\)"):
        draw_confusion_matrix(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"class_names \(2\) must be as many as the matrix has rows \(3\)"):
        draw_confusion_matrix(np.eye(3), ["a", "b"])


def test_png_file_holds_the_picture(tmp_path):
    picture = draw_confusion_matrix(np.eye(3))
    path = pictures.save_png(picture, tmp_path / "new" / "matrix.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert [entry.name for entry in path.parent.iterdir()] == ["matrix.png"]
    with pytest.raises(ValueError, match=r"Received: shape=\(4, 4\), dtype=float64"):
        pictures.save_png(np.zeros((4, 4)), tmp_path / "x.png")


def test_neither_pyplot_nor_tensorflow_is_imported():
    script = """
import sys
import numpy as np
from tfdlcv.visualization import contact_sheet, curves, predictions
from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
draw_confusion_matrix(np.eye(30))
curves.draw_history([{"loss": 1.0}])
assert not {"matplotlib.pyplot", "tensorflow", "keras"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
