import numpy as np
import pytest

from tfdlcv.visualization import pictures
from tfdlcv.visualization.curves import draw_history

ROWS = [{"epoch": i, "loss": 1 / i, "val_loss": 1.2 / i, "learning_rate": 0.1} for i in range(1, 21)]


def near(picture, rgb):
    """Pixels of about a colour: lines are blended with the ground at their edges."""
    return (np.abs(picture.astype(int) - rgb).max(axis=-1) < 20).sum()


def test_train_and_validation_share_a_chart_and_the_axis_has_none():
    picture = draw_history(ROWS)
    assert picture.shape == (300, 800, 3)  # Two charts: loss with val_loss, and learning_rate.
    assert near(picture[:, :400], pictures.RIGHT) > 100
    assert near(picture[:, :400], pictures.WRONG) > 100
    assert near(picture[:, 400:], pictures.WRONG) == 0


def test_charts_wrap_into_rows():
    rows = [{f"quantity_{i}": 1.0 for i in range(7)}]
    assert draw_history(rows, columns=3).shape == (900, 1200, 3)
    assert draw_history(rows, columns=7).shape == (300, 2800, 3)


def test_rows_as_read_from_a_file_are_drawn_alike():
    as_text = [{name: str(value) for name, value in row.items()} for row in ROWS]
    np.testing.assert_array_equal(draw_history(as_text), draw_history(ROWS))


def test_missing_and_infinite_values_leave_gaps():
    rows = [dict(row) for row in ROWS]
    rows[3]["loss"], rows[4]["loss"], rows[5]["val_loss"] = "", float("inf"), float("nan")
    del rows[6]["val_loss"]
    picture = draw_history(rows)
    assert picture.shape == (300, 800, 3)
    assert 100 < near(picture, pictures.RIGHT) < near(draw_history(ROWS), pictures.RIGHT)


def test_columns_without_a_number_are_left_out():
    assert draw_history([{"epoch": 1, "loss": 1.0, "note": "first"}]).shape == (300, 400, 3)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="at least one epoch"):
        draw_history([])
    with pytest.raises(ValueError, match=r"besides epoch and step. Received columns: \['epoch'\]"):
        draw_history([{"epoch": 1}])
