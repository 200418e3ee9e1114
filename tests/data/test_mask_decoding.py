import numpy as np
import pytest
from PIL import Image

from tests.data.published_masks import mask_of, write_image, write_mask
from tfdlcv.data.mask_decoding import check_usable, read_mask, value_table
from tfdlcv.errors import UserError

MASK = mask_of(6, 9, 0, 1, 2)
TABLE = value_table(range(3))


@pytest.mark.parametrize("mode", ["P", "L"])
def test_numbers_are_read_whatever_the_kind_of_png(tmp_path, mode):
    write_mask(tmp_path / "a.png", MASK, mode=mode)
    mask = read_mask(tmp_path / "a.png", TABLE)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_one_bit_is_two_classes(tmp_path):
    Image.fromarray(MASK == 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", value_table(range(2))), MASK == 1)


def test_sixteen_bits_that_fit_into_bytes(tmp_path):
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", TABLE), MASK)
    Image.fromarray(MASK.astype(np.uint16) * 100).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b.png holds values from 0 to 25500; class numbers are bytes, 0..255"):
        read_mask(tmp_path / "b.png", TABLE)


def test_other_values_stand_for_classes(tmp_path):
    write_mask(tmp_path / "a.png", [[0, 255], [9, 255]], mode="L")
    assert read_mask(tmp_path / "a.png", value_table([0, 255], void_value=9)).tolist() == [[0, 1], [255, 1]]
    assert read_mask(tmp_path / "a.png", value_table([255, 9], void_value=0)).tolist() == [[255, 0], [1, 0]]


def test_values_that_are_no_class_are_named(tmp_path):
    write_mask(tmp_path / "a.png", [[0, 1, 2, 3], [7, 8, 9, 10], [255, 0, 11, 12]])
    with pytest.raises(
        UserError, match=r"a.png holds 3, 7, 8, 9, 10, …, but the data set has 0..2 for its 3 classes and 255 for void"
    ):
        read_mask(tmp_path / "a.png", TABLE)
    with pytest.raises(UserError, match=r"has 0, 255 for its 2 classes and none for void"):
        read_mask(tmp_path / "a.png", value_table([0, 255]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(tmp_path, mode):
    write_mask(tmp_path / "a.png", MASK, mode=mode)
    with pytest.raises(UserError, match=rf"a.png is saved in colour \({mode}\); a mask holds one number a pixel"):
        read_mask(tmp_path / "a.png", TABLE)


def test_jpeg_is_refused(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")  # Whatever it is called.
    with pytest.raises(UserError, match=r"a.png is a JPEG file, whose compression changes class numbers"):
        read_mask(tmp_path / "a.png", TABLE)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no mask .*gone.png"):
        read_mask(tmp_path / "gone.png", TABLE)
    (tmp_path / "text.png").write_text("<html>404</html>")
    with pytest.raises(UserError, match=r"mask .*text.png cannot be read"):
        read_mask(tmp_path / "text.png", TABLE)
    write_image(tmp_path / "half.png", 40, 40)
    Image.open(tmp_path / "half.png").convert("L").save(tmp_path / "half.png")
    content = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"mask .*half.png cannot be read"):
        read_mask(tmp_path / "half.png", TABLE)


def test_sizes_and_void_are_checked():
    names = {"mask_name": "m.png", "image_name": "i.jpg"}
    check_usable(MASK, (6, 9), **names)
    with pytest.raises(UserError, match=r"m.png has 6 x 9 pixels \(height x width\), but image i.jpg has 6 x 8$"):
        check_usable(MASK, (6, 8), **names)
    with pytest.raises(UserError, match=r"i.jpg has 9 x 6; the image may be turned by its Exif orientation"):
        check_usable(MASK, (9, 6), **names)
    with pytest.raises(UserError, match=r"mask m.png is void all over"):
        check_usable(np.full((6, 9), 255, np.uint8), (6, 9), **names)
