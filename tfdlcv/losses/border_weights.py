"""How much the pixels between touching objects weigh in the loss of U-Net.

Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def border_weights(
    instances: np.ndarray,
    *,
    border_weight: float = 10.0,
    border_sigma: float = 5.0,
    class_weights: Sequence[float] = (1.0, 1.0),
) -> np.ndarray:
    """w_c(x) + w_0 exp(-(d_1(x) + d_2(x))^2 / 2 sigma^2), the paper's equation 2, on the host.

    d_1 and d_2 are the distances to the nearest and the second nearest object. The second term is that of background
    pixels: the paper's weights are for borders that separate objects, and inside of one d_1 has no meaning.

    Args:
        instances: (H, W) integers, 0 for background and another number for each object.
        border_weight: w_0.
        border_sigma: sigma, in pixels, above 0.
        class_weights: w_c of the background and of objects, for unequal frequencies.

    Returns:
        (H, W) float32, for `mask_cross_entropy`'s `pixel_weights`.

    Raises:
        ValueError: instances are not (H, W) integers, or border_sigma is not above 0.
    """
    from scipy import ndimage

    instances = np.asarray(instances)
    if instances.ndim != 2 or instances.dtype.kind not in "iu":
        raise ValueError(
            f"instances must be (H, W) integers. Received: shape={instances.shape}, dtype={instances.dtype}"
        )
    if border_sigma <= 0:
        raise ValueError(f"border_sigma must be above 0. Received: border_sigma={border_sigma}")
    background = instances == 0
    weights = np.where(background, *class_weights).astype(np.float32)
    nearest, second = np.full(instances.shape, np.inf), np.full(instances.shape, np.inf)
    for instance in np.unique(instances[~background]):
        distances = ndimage.distance_transform_edt(instances != instance)
        second = np.minimum(second, np.maximum(nearest, distances))
        nearest = np.minimum(nearest, distances)
    between = border_weight * np.exp(-((nearest + second) ** 2) / (2 * border_sigma**2))
    return weights + np.where(background, between, 0).astype(np.float32)
