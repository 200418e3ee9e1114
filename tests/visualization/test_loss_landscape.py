import numpy as np
import pytest

from tfdlcv.visualization.loss_landscape import draw_loss_landscape

STEPS = np.linspace(-1, 1, 5)


def test_the_low_ones_are_dark_and_where_they_belong():
    losses = np.full((5, 5), 10.0)
    losses[4, :] = 0.1  # Far along the first direction, which is to the right.
    panel = draw_loss_landscape(STEPS, losses, title="a $ title")[70:400, 80:436].astype(int).sum(axis=-1)
    assert panel[:, -4:].mean() < 0.6 * panel[:, :150].mean()


def test_losses_that_are_no_numbers_leave_holes():
    losses = np.ones((5, 5)) + STEPS**2
    holed = losses.copy()
    holed[0, 0], holed[4, 4] = np.nan, np.inf
    assert not np.array_equal(draw_loss_landscape(STEPS, losses), draw_loss_landscape(STEPS, holed))
    draw_loss_landscape(STEPS, np.zeros((5, 5)))


def test_wrong_losses():
    with pytest.raises(ValueError, match=r"losses \(5, 4\) must be \(5, 5\)"):
        draw_loss_landscape(STEPS, np.ones((5, 4)))
    with pytest.raises(ValueError, match="at least 0, and one of them finite"):
        draw_loss_landscape(STEPS, np.full((5, 5), np.nan))
    with pytest.raises(ValueError, match="at least 0, and one of them finite"):
        draw_loss_landscape(STEPS, np.full((5, 5), -1.0))
