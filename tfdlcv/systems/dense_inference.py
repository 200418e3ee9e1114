"""What a trained network says of every pixel of an image: whole or in tiles, at several sizes, and mirrored.

Shape legend: images H x W with C channels, K outputs of each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.systems.clustering import AgglomerativeConfig, KMeansConfig

if TYPE_CHECKING:
    import numpy as np

    from tfdlcv.systems.sliding_window import SlidingWindow


class NetworkMethodConfig(Section):
    """The run's network."""

    name: Literal["network"] = "network"


class PredictConfig(Section):
    """How `tfdlcv predict` treats images; neither training nor the export looks at it."""

    tile: int | None = Field(None, ge=1)
    """Side in pixels of the parts that a large image is cut into; None: every image is taken whole."""
    overlap: Literal["exact"] | Annotated[int, Field(ge=0)] = "exact"
    """Pixels around a part that the network sees with it, at least its smallest image. exact: as many as it sees at
    all, so that the result is that of the whole image; networks that see all of it, as DeepLabV3, have no such number.
    """
    scales: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0,), min_length=1)
    """The image is enlarged by each of these factors, and the probabilities averaged."""
    flip: bool = False
    """Average with what the mirror image gives."""
    truth: str | None = None
    """Folder of the true label maps, of the images' names with .png (.npy for numbers), where they are known."""
    method: Annotated[NetworkMethodConfig | KMeansConfig | AgglomerativeConfig, Field(discriminator="name")] = (
        NetworkMethodConfig()
    )
    """What segments: the network, or a clustering of the pixels as a baseline. Clusters have no names; with `truth`
    each is given the class that most of its pixels have."""

    @model_validator(mode="after")
    def _clusters_take_images_as_they_are(self):
        if self.method.name != "network" and (self.tile is not None or self.scales != (1.0,) or self.flip):
            raise ValueError(f"tile, scales and flip are for the network; method {self.method.name} has none of them")
        return self


@dataclass(frozen=True)
class DenseInference:
    """Runs a network as `PredictConfig` says.

    window: its network gives values that may be averaged, such as probabilities.
    mirror: outputs (H, W, K) of a mirror image, themselves mirrored back -> those of the image; None: the same.
    """

    window: SlidingWindow
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    mirror: Callable[[np.ndarray], np.ndarray] | None = None

    def values(self, image: np.ndarray) -> np.ndarray:
        """(H, W, K) float32 of an image (H, W, C) uint8.

        Raises:
            UserError: the image, at one of the scales, is smaller than the network's smallest.
        """
        total = 0.0
        for scale in self.scales:
            scaled = _resized(image, [max(round(length * scale), 1) for length in image.shape[:2]])
            values = self.window.outputs(scaled)
            if self.flip:
                mirrored = self.window.outputs(scaled[:, ::-1])[:, ::-1]
                values = (values + (mirrored if self.mirror is None else self.mirror(mirrored))) / 2
            total = total + _resized(values, image.shape[:2]) / len(self.scales)
        return total

    def best(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class (H, W) uint8 with the largest value, and its value (H, W) float32; raises as `values`.

        At one scale and without a mirror image, memory holds the values of one tile at a time.
        """
        import numpy as np

        labels, largest = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
        everywhere = (slice(None), slice(None))
        single = self.scales == (1.0,) and not self.flip
        for place, values in self.window.pieces(image) if single else [(everywhere, self.values(image))]:
            labels[place], largest[place] = values.argmax(axis=-1), values.max(axis=-1)
        return labels, largest


def _resized(values: np.ndarray, size) -> np.ndarray:
    """(h, w, C) -> (H, W, C) of the same dtype; bytes as everywhere antialiased where the image shrinks."""
    import numpy as np
    import tensorflow as tf

    if tuple(values.shape[:2]) == tuple(size):
        return values
    resized = tf.image.resize(values, size, method="bilinear", antialias=values.dtype == np.uint8).numpy()
    return np.round(np.clip(resized, 0, 255)).astype(np.uint8) if values.dtype == np.uint8 else resized
