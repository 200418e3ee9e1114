"""Pooling at every pixel, over windows with gaps: what a strided pool computes, for all of its possible offsets.

Shape legend: N images, H rows, W columns, C channels.
"""

from keras import ops


def dilated_max_pool(x, pool_size: int, *, dilation: int, before: int):
    """(N, H, W, C) -> (N, H, W, C): the largest of pool_size x pool_size values that are `dilation` apart.

    Args:
        pool_size: Values on a side of the window.
        dilation: Pixels between neighbours in the window, at least 1.
        before: Pixels of the window above and on the left of its place, from 0 to (pool_size - 1) * dilation. Values
            outside the image never win.
    """
    x = _padded(x, pool_size, dilation, before, value=float("-inf"))
    return _over_windows(x, pool_size, dilation, ops.maximum)


def dilated_average_pool(x, pool_size: int, *, dilation: int, before: int):
    """As `dilated_max_pool`, the mean of the values that are in the image."""
    ones = _padded(ops.ones_like(x[..., :1]), pool_size, dilation, before, value=0.0)
    x = _padded(x, pool_size, dilation, before, value=0.0)
    return _over_windows(x, pool_size, dilation, ops.add) / _over_windows(ones, pool_size, dilation, ops.add)


def _padded(x, pool_size: int, dilation: int, before: int, *, value: float):
    reach = (pool_size - 1) * dilation
    if not 0 <= before <= reach:
        raise ValueError(f"before ({before}) must be between 0 and (pool_size - 1) * dilation ({reach})")
    sides = (before, reach - before)
    return ops.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=value)


def _over_windows(x, pool_size: int, dilation: int, combine):
    reach = (pool_size - 1) * dilation
    for axis in (1, 2):  # Rows, then columns: each once, not each pair of them.
        total = None
        for start in range(0, reach + 1, dilation):
            window = slice(start, start - reach or None)
            part = x[:, window] if axis == 1 else x[:, :, window]
            total = part if total is None else combine(total, part)
        x = total
    return x
