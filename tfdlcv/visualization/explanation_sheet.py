"""Images beside the maps that explain their classes.

Shape legend: N images, H x W pixels, C channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfdlcv.visualization import tiles

_TITLES = {
    "guided_backpropagation": "guided\nbackpropagation",
    "grad_cam": "Grad-CAM",
    "guided_grad_cam": "guided\nGrad-CAM",
}


def draw_explanations(images: np.ndarray, maps: Mapping[str, np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """A row for each image: itself, and each of its maps.

    Args:
        images: (N, H, W, C) uint8.
        maps: by the method's name, (N, H, W) or, of those that make images, (N, H, W, C). Grad-CAM lies over the grey
            image from blue to red; occlusion too, red where the image speaks for the class and blue against it;
            saliency shines on black; images have 0 as their middle grey.
        captions: N texts.

    Returns:
        (H, W, 3) uint8.
    """
    for name, values in maps.items():
        if values.shape[:3] != images.shape[:3]:
            raise ValueError(f"map {name!r} {values.shape} must be of the images' size {images.shape[:3]}")
    rows = [
        [image, *(_drawn(name, values[index], image) for name, values in maps.items())]
        for index, image in enumerate(images)
    ]
    titles = ["image", *(_TITLES.get(name, name.replace("_", " ")) for name in maps)]
    return tiles.draw_table(rows, row_titles=captions, column_titles=titles)


def _drawn(name: str, values: np.ndarray, image: np.ndarray) -> np.ndarray:
    if values.ndim == 3:
        return tiles.signed_pixels(values)
    if name == "grad_cam":
        return tiles.heat_over(image, values)
    return tiles.signed_over(image, values) if name == "occlusion" else tiles.heat(values)
