import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tfdlcv.data import exif


def photograph() -> Image.Image:
    # Blocks of 8 x 8 survive JPEG almost unchanged, and no two turns of them look alike.
    blocks = np.random.RandomState(0).randint(0, 256, (3, 5, 3)).astype(np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((8, 8, 1), np.uint8)))


def jpeg_with_exif(segment: bytes) -> bytes:
    """A JPEG file with `segment` as the content of its Exif segment."""
    stream = io.BytesIO()
    photograph().save(stream, "JPEG", quality=95)
    content = stream.getvalue()
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def directory(order: str, entries: list[tuple[int, int]], *, offset: int = 8) -> bytes:
    """A TIFF structure with one directory of short values, `order` being < (Intel) or > (Motorola)."""
    structure = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, offset)
    structure += bytes(offset - 8) + struct.pack(f"{order}H", len(entries))
    for tag, value in entries:
        structure += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    return b"Exif\0\0" + structure + bytes(4)


def orientation(content: bytes) -> int:
    return int(exif.orientation(tf.constant(content)))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_in_both_byte_orders(order, value):
    assert orientation(jpeg_with_exif(directory(order, [(271, 7), (274, value), (282, 5)]))) == value


@pytest.mark.parametrize("value", range(1, 9))
def test_upright_agrees_with_pillow(value):
    tags = Image.Exif()
    tags[274] = value
    stream = io.BytesIO()
    photograph().save(stream, "JPEG", quality=95, subsampling=0, exif=tags)
    encoded = tf.constant(stream.getvalue())
    image = exif.upright(tf.io.decode_image(encoded), exif.orientation(encoded)).numpy()
    expected = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 4  # Two JPEG decoders.


def test_the_directory_may_stand_further_behind():
    assert orientation(jpeg_with_exif(directory("<", [(274, 6)], offset=100))) == 6


@pytest.mark.parametrize(
    "segment",
    [
        directory("<", []),
        directory("<", [(256, 6)]),  # Another tag.
        directory("<", [(274, 0)]),
        directory("<", [(274, 9)]),
        directory(">", [(274, 6)])[:12],  # Cut short.
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",  # The directory lies far behind the end,
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",  # or says that it has 65535 entries.
        b"Exif\0\0XY*\0\x08\0\0\0",
        b"http://ns.adobe.com/xap/1.0/\0",
    ],
)
def test_damaged_or_other_segments_count_as_upright(segment):
    assert orientation(jpeg_with_exif(segment)) == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd8", b"Exif\0\0II*\0\x08\0\0\0", b"\x89PNG Exif\0\0"])
def test_other_bytes_count_as_upright(content):
    assert orientation(content) == 1


def test_a_file_without_exif():
    stream = io.BytesIO()
    photograph().save(stream, "JPEG")
    assert orientation(stream.getvalue()) == 1


def test_in_a_graph():
    encoded = jpeg_with_exif(directory(">", [(274, 8)]))
    traced = tf.function(exif.orientation, input_signature=[tf.TensorSpec((), tf.string)])
    assert int(traced(tf.constant(encoded))) == 8
    assert int(traced(tf.constant(b""))) == 1
