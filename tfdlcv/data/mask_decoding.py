"""Mask files to class numbers, with every way in which they go wrong told apart.

Masks are decoded with Pillow: TensorFlow's decoder turns a palette PNG, as PASCAL VOC and most tools write, into the
colours of its palette.

Shape legend: masks H x W, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tfdlcv.data.dense_examples import VOID
from tfdlcv.errors import UserError

_NAMED_VALUES = 5  # So many of the wrong values stand in a message.


@dataclass(frozen=True)
class MaskFormat:
    """What the mask files of a data set hold, and what they are called.

    table: see `value_table`.
    file_name: the name of an image's file, without its ending -> that of its mask.
    """

    table: np.ndarray
    file_name: Callable[[str], str]


def value_table(values: Sequence[int], void_value: int = VOID) -> np.ndarray:
    """For `read_mask`: files hold values[k] for class k, and `void_value` for void.

    Returns:
        (256,) int16: the class of each value, or 255; -1 for values that must not occur.
    """
    table = np.full(256, -1, np.int16)
    table[void_value] = VOID
    table[list(values)] = np.arange(len(values))
    return table


def read_mask(path: str | Path, table: np.ndarray) -> np.ndarray:
    """Mask (H, W) uint8 of class numbers, or 255 for void.

    Args:
        table: see `value_table`.

    Raises:
        UserError: the file is missing, damaged, a JPEG, in colour, or holds a value that is none of a class.
    """
    try:
        with Image.open(path) as image:
            _check_format(image, path)
            stored = np.asarray(image)
    except FileNotFoundError:
        raise UserError(f"there is no mask {path}") from None
    # What Pillow raises for damaged files: OSError for most, SyntaxError and ValueError from its PNG reader.
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"mask {path} cannot be read: {error}") from error
    if stored.dtype == bool:  # A PNG of one bit a pixel.
        stored = stored.astype(np.uint8)
    if stored.dtype != np.uint8:  # 16 or 32 bits.
        if stored.min() < 0 or stored.max() > VOID:
            raise UserError(
                f"mask {path} holds values from {stored.min()} to {stored.max()}; class numbers are bytes, 0..255"
            )
        stored = stored.astype(np.uint8)
    mask = table[stored]
    if mask.min() < 0:
        raise UserError(_wrong_values(path, np.unique(stored[mask < 0]), table))
    return mask.astype(np.uint8)


def check_usable(mask: np.ndarray, image_size: tuple[int, int], *, mask_name: str, image_name: str) -> None:
    """Raises UserError unless `mask` (H, W) is as large as its image, (height, width), and has a class somewhere."""
    if mask.shape != tuple(image_size):
        height, width = image_size
        hint = ""
        if mask.shape == (width, height):
            hint = "; the image may be turned by its Exif orientation, which masks do not have"
        raise UserError(
            f"mask {mask_name} has {mask.shape[0]} x {mask.shape[1]} pixels (height x width), but image {image_name} "
            f"has {height} x {width}{hint}"
        )
    if (mask == VOID).all():
        raise UserError(f"mask {mask_name} is void all over: no pixel of it can be trained on or scored")


def _check_format(image: Image.Image, path: str | Path) -> None:
    if image.format == "JPEG":
        raise UserError(f"mask {path} is a JPEG file, whose compression changes class numbers; masks must be PNG files")
    if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
        raise UserError(
            f"mask {path} is saved in colour ({image.mode}); a mask holds one number a pixel, as a grey or palette PNG "
            "does: convert the colours to class numbers"
        )


def _wrong_values(path: str | Path, wrong: np.ndarray, table: np.ndarray) -> str:
    known = np.flatnonzero((table >= 0) & (table != VOID))
    void = ", ".join(str(value) for value in np.flatnonzero(table == VOID)[:_NAMED_VALUES]) or "none"
    shown = ", ".join(str(value) for value in wrong[:_NAMED_VALUES]) + (", …" if len(wrong) > _NAMED_VALUES else "")
    if np.array_equal(known, np.arange(len(known))):
        classes = f"0..{len(known) - 1} for its {len(known)} classes"
    else:
        classes = f"{', '.join(map(str, known))} for its {len(known)} classes"
    return f"mask {path} holds {shown}, but the data set has {classes} and {void} for void"
