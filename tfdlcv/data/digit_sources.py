"""Digits that something is done to: which digits, as a part of the config of a data set that changes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tfdlcv.data.digits import Digits8x8, ImagesInMemory, Mnist, Mnist5k


class DigitsOfSource(ImagesInMemory):
    """The digits of `source`, with the options of all images in memory."""

    source: Literal["mnist5k", "digits8x8", "mnist"] = "mnist5k"
    folder: str | None = Field(None, min_length=1)
    """Of the source mnist: where its IDX files are."""

    @model_validator(mode="after")
    def _folder_fits_source(self):
        if (self.source == "mnist") != (self.folder is not None):
            raise ValueError(f"folder ({self.folder}) belongs to source mnist alone, which needs it")
        return self

    def digits_config(self) -> Mnist5k | Digits8x8 | Mnist:
        """What `tfdlcv.data.digits.build` reads."""
        options = {name: getattr(self, name) for name in ImagesInMemory.model_fields}
        match self.source:
            case "mnist5k":
                return Mnist5k(name="mnist5k", **options)
            case "digits8x8":
                return Digits8x8(name="digits8x8", **options)
            case "mnist":
                return Mnist(name="mnist", folder=self.folder, **options)
