import pytest
from pydantic import ValidationError

from tfdlcv.data import augmentation
from tfdlcv.data.augmentation import AugmentationConfig, ColorJitterConfig, RandomErasingConfig, ResizedCropConfig
from tfdlcv.errors import UserError


def build(shape=(32, 32, 3), **values):
    return augmentation.build_augmentation(AugmentationConfig(**values), 10, shape)


def test_the_defaults_change_nothing():
    assert build() is None
    assert build(color_jitter=ColorJitterConfig(), fill_mode="constant") is None
    assert build(flip="horizontal") is not None


def test_crop_padding_must_be_smaller_than_the_images():
    with pytest.raises(
        UserError, match=r"crop_padding \(8\) must be smaller than the images' height \(9\) and width \(8\)"
    ):
        build((9, 8, 3), crop_padding=8)
    assert build((9, 8, 3), crop_padding=7) is not None


@pytest.mark.parametrize("field", ["saturation", "hue"])
def test_grey_images_have_no_saturation_and_hue(field):
    with pytest.raises(UserError, match=rf"color_jitter\.{field} \(0\.25\) needs RGB images; these are grey"):
        build((28, 28, 1), color_jitter=ColorJitterConfig(**{field: 0.25}))
    assert build((28, 28, 3), color_jitter=ColorJitterConfig(**{field: 0.25})) is not None


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (
            ResizedCropConfig,
            {"area": (0.5, 0.2)},
            r"area must be two numbers with 0 < first <= second <= 1, not \[0\.5, 0\.2\]",
        ),
        (ResizedCropConfig, {"area": (0.0, 1.0)}, "area must be"),
        (
            ResizedCropConfig,
            {"aspect_ratio": (0.0, 1.0)},
            "aspect_ratio must be two numbers with 0 < first <= second <= inf",
        ),
        (RandomErasingConfig, {"probability": 0.5, "area": (0.1, 1.5)}, "area must be"),
        (RandomErasingConfig, {"probability": 0.0}, "greater than 0"),
        (RandomErasingConfig, {"probability": 0.5, "fill": "white"}, "'noise' or 'black'"),
        (AugmentationConfig, {"flip": "diagonal"}, "'none', 'horizontal', 'vertical' or 'both'"),
        (AugmentationConfig, {"fill_mode": "wrap"}, "'constant', 'nearest' or 'reflect'"),
        (AugmentationConfig, {"mixup_alpha": -0.1}, "greater than or equal to 0"),
        (AugmentationConfig, {"cutmix_alpha": 1.5}, "less than or equal to 1"),
        (AugmentationConfig, {"mixup_alpha": 0.05}, "mixup_alpha must be 0, for none, or at least 0.1, not 0.05"),
        (AugmentationConfig, {"cutmix_alpha": 0.01}, "cutmix_alpha must be 0, for none, or at least 0.1, not 0.01"),
        (AugmentationConfig, {"rotation": 10.0}, "Extra inputs are not permitted"),
    ],
)
def test_config_faults(section, values, message):
    with pytest.raises(ValidationError, match=message):
        section(**values)
