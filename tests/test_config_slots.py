from pathlib import Path
from typing import Annotated, Literal

import annotated_types
import pytest
from pydantic import Field, PositiveInt

from tests.toy_config import Mlp, Resnet
from tfdlcv.config_slots import Slot, must_be


@pytest.mark.parametrize(
    "annotation, words",
    [
        (int, "an integer"),
        (float | None, "a number or null"),
        (PositiveInt, "an integer > 0"),
        (Annotated[int, Field(ge=0, multiple_of=8)], "an integer >= 0 and divisible by 8"),
        (Annotated[float, annotated_types.Interval(gt=0, le=1)], "a number > 0 and <= 1"),
        (bool, "true or false"),
        (str, "text"),
        (Annotated[str, Field(max_length=3)], "text of at most 3 characters"),
        (Literal["a", 2], "one of a, 2"),
        (Literal["none"] | float, "none or a number"),
        (tuple[int, ...], "a list of integers"),
        (
            Annotated[list[str], Field(min_length=1, max_length=2)],
            "a list of texts of at least 1 item and at most 2 items",
        ),
        (tuple[Annotated[float, Field(gt=0)], ...], "a list of numbers > 0"),
        (tuple[Literal["h", "v"], ...], "a list of items out of h, v"),
        (tuple[int, int, int], "a list of 3 integers"),
        (tuple[int, float], "a list of 2 items"),
        (list[Mlp], "a list of items"),
        (dict[str, int], "a section (lines of `key: value`)"),
        (Mlp, "a section (lines of `key: value`)"),
        (Annotated[Mlp | Resnet, Field(discriminator="name")], "a section with a `name` of mlp, resnet"),
        (Annotated[Mlp | Resnet, Field(discriminator="name")] | None, "a section with a `name` of mlp, resnet or null"),
        (
            float | Annotated[Mlp | Resnet, Field(discriminator="name")],
            "a number or a section with a `name` of mlp, resnet",
        ),
    ],
)
def test_words_for_types(annotation, words):
    assert must_be(Slot.of(annotation)) == f"must be {words}"


def test_types_without_words():
    assert must_be(Slot.of(Path)) == ""
    assert must_be(Slot.of(Path | int)) == ""
