"""What a trained network says of every pixel of an image: whole or in tiles, at several sizes, and mirrored.

Shape legend: images H x W with C channels, K outputs of each pixel.
"""

from __future__ import annotations

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
    """The image is enlarged by each of these factors, and the probabilities averaged. Memory then holds those of the
    whole image: with `tile`, 4 K (1 + s^2) bytes a pixel for K classes and the largest factor s, such as 420 for 21
    classes and [0.5, 1.0, 2.0]; 1.0 alone takes those of a tile."""
    flip: bool = False
    """Average with what the mirror image gives, tile by tile."""
    truth: str | None = None
    """Folder of the true label maps, where they are known: saved as the masks of `data` are, of the values there and
    with its `mask_suffix` or Cityscapes' names; otherwise of the images' names with .png, or .npy for numbers."""
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
    """

    window: SlidingWindow
    scales: tuple[float, ...] = (1.0,)

    def values(self, image: np.ndarray) -> np.ndarray:
        """(H, W, K) float32 of an image (H, W, C) uint8.

        Memory holds these and, unless 1 is the only scale, those of one scale s at a time: in tiles 4 K (1 + s^2) bytes
        a pixel of the image.

        Raises:
            UserError: the image, at one of the scales, is smaller than the network's smallest.
        """
        import numpy as np

        if self.scales == (1.0,):
            return self.window.outputs(image)
        size, total = image.shape[:2], None
        for scale in self.scales:
            values = self.window.outputs(_resized(image, [max(round(length * scale), 1) for length in size]))
            if total is None:
                total = np.zeros((*size, values.shape[-1]), np.float32)
            for k in range(values.shape[-1]):  # One after the other, because TensorFlow copies what it resizes.
                total[..., k] += _resized(values[..., k : k + 1], size)[..., 0]
            del values  # Not kept while the next scale's are made.
        total /= len(self.scales)
        return total

    def best(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class (H, W) uint8 with the largest value, and its value (H, W) float32; raises as `values`.

        Where 1 is the only scale, memory holds the values of one tile, and of its mirror image, at a time.
        """
        import numpy as np

        labels, largest = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
        everywhere = (slice(None), slice(None))
        single = self.scales == (1.0,)
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
