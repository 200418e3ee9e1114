import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdlcv.data import images
from tfdlcv.errors import UserError

SHAPE = (20, 30, 3)


def pixels(shape=SHAPE) -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, form: str = "PNG", **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def decode(content: bytes, shape=SHAPE, **options) -> np.ndarray:
    return images.decode_image(tf.constant(content), shape, **options).numpy()


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("GIF", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats(form, options):
    image = Image.fromarray(pixels()).quantize(64).convert("RGB")  # GIF has a palette.
    np.testing.assert_array_equal(decode(encoded(image, form, **options)), np.asarray(image))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg(options):
    smooth = np.kron(pixels((5, 5, 3)), np.ones((8, 8, 1), np.uint8))
    content = encoded(smooth, "JPEG", quality=95, subsampling=0, **options)
    assert np.abs(decode(content, (40, 40, 3)).astype(int) - np.asarray(Image.open(io.BytesIO(content)))).max() <= 4


def test_grey_files_become_rgb_and_back():
    grey = pixels((20, 30))
    for form in ("PNG", "BMP"):
        np.testing.assert_array_equal(decode(encoded(grey, form)), np.stack([grey] * 3, axis=-1))
        np.testing.assert_array_equal(decode(encoded(grey, form), (20, 30, 1))[..., 0], grey)


def test_every_grey_value_survives_the_way_over_rgb():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode(encoded(grey), (16, 16, 1))[..., 0], grey)


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_colored_files_become_grey(form):
    image = Image.fromarray(pixels()).quantize(64).convert("RGB")
    options = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    content = encoded(image, form, **options)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB").convert("L"))
    assert np.abs(decode(content, (20, 30, 1))[..., 0].astype(int) - expected).max() <= (8 if form == "JPEG" else 1)


def test_transparency_is_dropped():
    image = pixels((20, 30, 4))
    np.testing.assert_array_equal(decode(encoded(image)), image[..., :3])
    grey_and_alpha = pixels((20, 30, 2))
    np.testing.assert_array_equal(decode(encoded(grey_and_alpha)), grey_and_alpha[..., [0, 0, 0]])


def test_16_bit_png_keeps_the_high_byte():
    image = np.random.RandomState(0).randint(0, 65536, (20, 30)).astype(np.uint16)
    np.testing.assert_array_equal(decode(encoded(image), (20, 30, 1))[..., 0], image >> 8)
    color = tf.constant(np.random.RandomState(1).randint(0, 65536, SHAPE), tf.uint16)
    np.testing.assert_array_equal(decode(tf.io.encode_png(color).numpy()), color.numpy() >> 8)


@pytest.mark.parametrize("channels", [1, 3])
def test_cmyk_jpeg(channels):
    image = Image.fromarray(np.kron(pixels((3, 3, 3)), np.ones((8, 8, 1), np.uint8)))
    content = encoded(image.convert("CMYK"), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB" if channels == 3 else "L"))
    result = decode(content, (24, 24, channels))
    assert np.abs(result.astype(int) - expected.reshape(result.shape)).max() <= 4


def test_the_first_frame_of_an_animation():
    first, second = (Image.fromarray(np.full(SHAPE, value, np.uint8)) for value in (40, 200))
    content = encoded(first, "GIF", save_all=True, append_images=[second])
    assert set(decode(content).ravel().tolist()) == {40}


def test_exif_orientation_is_applied():
    tags = Image.Exif()
    tags[274] = 6  # The camera was held upright: turn clockwise.
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255  # White on the stored left is on top.
    result = decode(encoded(image, "JPEG", exif=tags), (32, 16, 3))
    assert result[:14].min() > 240
    assert result[18:].max() < 15


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, both from 20 to 220."""
    red = np.broadcast_to(np.linspace(20, 220, width), (height, width))
    green = np.broadcast_to(np.linspace(20, 220, height)[:, np.newaxis], (height, width))
    return np.round(np.stack([red, green, np.full((height, width), 100)], axis=-1)).astype(np.uint8)


def test_crop_keeps_the_middle_at_its_aspect_ratio():
    image = ramp(40, 120)
    np.testing.assert_array_equal(decode(encoded(image), (40, 40, 3), resize="crop"), image[:, 40:80])
    np.testing.assert_array_equal(
        decode(encoded(image.transpose(1, 0, 2)), (40, 40, 3)), image.transpose(1, 0, 2)[40:80]
    )
    small = decode(encoded(image), (10, 10, 3), resize="crop").astype(float)
    assert np.abs(small - image[:, 40:80].reshape(10, 4, 10, 4, 3).mean((1, 3))).max() < 3


def test_pad_shows_the_whole_image_on_black():
    image = ramp(40, 120)
    result = decode(encoded(image), (60, 120, 3), resize="pad")
    np.testing.assert_array_equal(result[10:50], image)
    assert result[:10].max() == result[50:].max() == 0
    result = decode(encoded(image), (30, 30, 3), resize="pad")
    assert result[:10].max() == result[20:].max() == 0
    assert np.abs(result[10:20].astype(float) - image.reshape(10, 4, 30, 4, 3).mean((1, 3))).max() < 3


def test_stretch_shows_the_whole_image():
    result = decode(encoded(ramp(40, 120)), (20, 20, 3), resize="stretch").astype(float)
    assert np.abs(result - ramp(40, 120).reshape(20, 2, 20, 6, 3).mean((1, 3))).max() < 3


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 3), (300, 2)])
def test_any_size_becomes_the_wanted_shape(resize, size):
    image = np.full((*size, 3), 77, np.uint8)
    result = decode(encoded(image), (9, 13, 3), resize=resize)
    assert result.shape == (9, 13, 3)
    assert set(result.ravel().tolist()) <= {0, 77}
    assert result.max() == 77


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_an_image_of_the_wanted_size_is_untouched(resize):
    np.testing.assert_array_equal(decode(encoded(pixels()), resize=resize), pixels())


def test_padding():
    result = decode(encoded(pixels((28, 28, 3))), (32, 32, 3), padding=2)
    np.testing.assert_array_equal(result[2:30, 2:30], pixels((28, 28, 3)))
    assert result[:2].sum() == result[30:].sum() == result[:, :2].sum() == result[:, 30:].sum() == 0


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(decode(encoded(stripes), (16, 16, 3)).astype(int) - 128).max() < 12


def test_static_shape_and_dtype_in_a_graph():
    function = tf.function(images.decoder((9, 13, 1), "pad"), input_signature=[tf.TensorSpec((), tf.string)])
    output = function.get_concrete_function().structured_outputs
    assert output.shape == (9, 13, 1)
    assert output.dtype == tf.uint8


JPEG = encoded(pixels(), "JPEG")
DAMAGED = {
    "empty": (b"", "Input is empty"),
    "text": (b"hello world", "Unknown image file format"),
    "tiff": (encoded(pixels(), "TIFF"), "Unknown image file format"),
    "cut jpeg": (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
    "jpeg header": (JPEG[:10], "Invalid JPEG data"),
    "cut png": (encoded(pixels())[:-200], "Invalid PNG data"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_bytes(kind):
    content, message = DAMAGED[kind]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(content)
    function = tf.function(images.decoder(SHAPE), input_signature=[tf.TensorSpec((), tf.string)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
        function(tf.constant(content))
    assert re.fullmatch(f"[^{{}}\n]*{message}[^{{}}\n]*", images.readable_message(error.value))


@pytest.mark.parametrize("kind", DAMAGED)
def test_read_image_file_names_a_damaged_file(tmp_path, kind):
    path = tmp_path / "cat.jpg"
    path.write_bytes(DAMAGED[kind][0])
    with pytest.raises(UserError, match=rf"cat\.jpg is not a readable image: .*{DAMAGED[kind][1]}"):
        images.read_image_file(path)


def test_read_image_file(tmp_path):
    path = tmp_path / "cat.png"
    path.write_bytes(encoded(pixels()))
    np.testing.assert_array_equal(images.read_image_file(path), pixels())
    np.testing.assert_array_equal(
        images.read_image_file(str(path), (10, 10, 1)), decode(encoded(pixels()), (10, 10, 1))
    )
    with pytest.raises(UserError, match=r"cannot read .*dog\.png: No such file"):
        images.read_image_file(tmp_path / "dog.png")
    with pytest.raises(UserError, match="cannot read .*: Is a directory"):
        images.read_image_file(tmp_path)


@pytest.mark.parametrize(("mode", "bits"), [("P", 8), ("1", 1)])
def test_bmp_with_a_palette_is_refused(tmp_path, mode, bits):
    path = tmp_path / "cat.bmp"
    Image.fromarray(pixels()).convert(mode).save(path)
    with pytest.raises(UserError, match=f"BMP with {bits} bits a pixel; convert it to PNG"):
        images.read_image_file(path)
    assert images.unsupported(encoded(pixels((20, 30)), "BMP")) is None
    assert images.unsupported(b"BM") is None


def test_arguments_are_checked_at_once():
    with pytest.raises(ValueError, match=r"must be 1 or 3. Received: \(9, 9, 4\)"):
        images.decoder((9, 9, 4))
    with pytest.raises(ValueError, match="must be crop, pad or stretch. Received: 'fit'"):
        images.decoder((9, 9, 3), "fit")
    with pytest.raises(ValueError, match=r"padding \(5\) must leave room for an image in 10 x 12 pixels"):
        images.decoder((10, 12, 3), padding=5)
