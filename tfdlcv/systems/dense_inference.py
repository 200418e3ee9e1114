"""What a trained network says of every pixel of an image: whole or in tiles, at several sizes, and mirrored.

Shape legend: images H x W with C channels, K outputs of each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """The image is enlarged by each of these factors, and the probabilities averaged. With `tile` memory holds those of
    one tile at a time, enlarged as the image is."""
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

        Raises:
            UserError: the image, at one of the scales, is smaller than the network's smallest.
        """
        import numpy as np

        whole = None
        for place, values in self.pieces(image):
            if whole is None:
                whole = np.empty((*image.shape[:2], values.shape[-1]), np.float32)
            whole[place] = values
        return whole

    def pieces(self, image: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """`values` tile by tile: rows and columns, and (rows, columns, K) float32 of them.

        Memory holds the values of one tile at a time, at one scale, and the image at every scale.
        """
        from tfdlcv.ops import tiling

        if self.scales == (1.0,):
            yield from self.window.pieces(image)
            return
        size = image.shape[:2]
        scaled = [_resized(image, [max(round(length * scale), 1) for length in size]) for scale in self.scales]
        for window in tiling.windows(*size, tile=self.window.tile or max(size), halo=0):
            total = 0.0
            for each in scaled:
                total += self._part(each, size, *window.tile)
            yield window.tile, total / len(scaled)

    def best(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class (H, W) uint8 with the largest value, and its value (H, W) float32; raises and holds as `pieces`."""
        import numpy as np

        labels, largest = np.empty(image.shape[:2], np.uint8), np.empty(image.shape[:2], np.float32)
        for place, values in self.pieces(image):
            labels[place], largest[place] = values.argmax(axis=-1), values.max(axis=-1)
        return labels, largest

    def _part(self, scaled: np.ndarray, size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
        """(rows, columns, K): what the network gives of the scaled image, brought back to an image of `size`."""
        taps = _taps(rows, size[0], scaled.shape[0]), _taps(columns, size[1], scaled.shape[1])
        seen = [slice(int(lower[0]), int(upper[-1]) + 1) for lower, upper, _ in taps]
        values = self.window.part(scaled, *seen)
        for axis, (lower, upper, weights) in enumerate(taps):
            weights = weights.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
            below, above = (values.take(place - seen[axis].start, axis) for place in (lower, upper))
            values = below + (above - below) * weights
        return values


def _taps(span: slice, length: int, scaled: int):
    """Which two of `scaled` places lie around each of the span's, of `length`, and the weight of the second."""
    import numpy as np

    places = np.clip((np.arange(span.start, span.stop) + 0.5) * scaled / length - 0.5, 0, scaled - 1)
    lower = np.floor(places).astype(np.int64)
    return lower, np.minimum(lower + 1, scaled - 1), (places - lower).astype(np.float32)


def _resized(values: np.ndarray, size) -> np.ndarray:
    """(h, w, C) -> (H, W, C) of the same dtype; bytes as everywhere antialiased where the image shrinks."""
    import numpy as np
    import tensorflow as tf

    if tuple(values.shape[:2]) == tuple(size):
        return values
    resized = tf.image.resize(values, size, method="bilinear", antialias=values.dtype == np.uint8).numpy()
    return np.round(np.clip(resized, 0, 255)).astype(np.uint8) if values.dtype == np.uint8 else resized
