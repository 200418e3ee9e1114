"""Checks of what networks are told: sizes, choices, the shapes of images and sequences, and the number of classes."""

import numbers
from collections.abc import Sequence


def check_image_classifier(input_shape: Sequence[int | None], *, num_classes: int, minimum_size: int = 1):
    """Raise a ValueError that names the argument and its value if a network cannot be built from these.

    Args:
        input_shape: (height, width, channels); height and width may be None, for any.
        num_classes: At least 2.
        minimum_size: The smallest height and width that the network's strides allow, in pixels.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    check_image(input_shape, minimum_size=minimum_size)


def check_pixel_network(input_shape: Sequence[int | None], *, num_classes: int, minimum_size: int = 1):
    """As `check_image_classifier`, for networks with logits, or one number, for each pixel: num_classes at least 1."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1. Received: num_classes={num_classes}")
    check_image(input_shape, minimum_size=minimum_size)


def check_image(input_shape: Sequence[int | None], *, minimum_size: int = 1):
    """As `check_image_classifier`, for networks without classes."""
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels). Received: input_shape={tuple(input_shape)}")
    height, width, channels = input_shape
    if channels is None or channels < 1:
        raise ValueError(f"the channels of input_shape must be at least 1. Received: input_shape={tuple(input_shape)}")
    if any(size is not None and size < minimum_size for size in (height, width)):
        raise ValueError(
            f"the image is too small: height and width of input_shape must be at least {minimum_size}. "
            f"Received: input_shape={tuple(input_shape)}"
        )


def check_choice(name: str, value: object, choices: Sequence[object]):
    """Raise a ValueError that lists `choices` if `value` of the argument `name` is none of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")


def check_fixed_size(input_shape: Sequence[int | None], *, network: str):
    """Raise a ValueError if height or width is None for a network whose fully connected layers need to know them."""
    if None in input_shape:
        raise ValueError(f"{network} needs the size of its images. Received: input_shape={tuple(input_shape)}")


def check_share(name: str, value: float):
    """Raise a ValueError unless the argument `name`, a share of values to drop, lies in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1). Received: {name}={value}")


def check_sizes(**sizes: int):
    """Raise a ValueError that names the argument unless every size is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, numbers.Integral) or size < 1:
            raise ValueError(f"{name} must be an integer of at least 1. Received: {name}={size}")


def check_sequence_shape(input_shape: Sequence[int | None]):
    """Raise a ValueError unless `input_shape` is (steps, channels), both at least 1, or steps None for any number."""
    if len(input_shape) != 2 or not input_shape[-1]:
        raise ValueError(f"input_shape must be (steps or None, channels). Received: input_shape={tuple(input_shape)}")
    if input_shape[0] is not None and input_shape[0] < 1:
        raise ValueError(f"a sequence must have at least 1 step. Received: input_shape={tuple(input_shape)}")
