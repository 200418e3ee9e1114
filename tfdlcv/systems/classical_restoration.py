"""What images were restored with before networks, to compare with.

Shape legend: N images, H x W pixels, C channels, K components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_PATCH = 5  # Side of the patches that are compared, as in scikit-image's example of denoising.
_DISTANCE = 11  # The search window is 23 x 23.
NON_LOCAL_MEANS_STRENGTH = 0.6  # h in units of sigma; what scikit-image's example takes in the fast mode.
_TILE = 1024


def non_local_means(
    image: np.ndarray, sigma: float | None = None, *, strength: float = NON_LOCAL_MEANS_STRENGTH, fast: bool = True
) -> np.ndarray:
    """Buades, Coll, Morel 2005, "A Non-local Algorithm for Image Denoising": weighted means of pixels whose patches are
    alike, wherever they lie within the search window. In tiles, so that memory is bounded.

    Args:
        image: (H, W, C), of 0..255, any dtype.
        sigma: standard deviation of the noise; None: that of `estimated_sigma`.
        strength: cut-off of the patches' distance (h), in units of sigma.
        fast: weigh the pixels of patches evenly, by running sums; otherwise by a Gaussian of their distance from the
            centre, at ten times the cost.

    Returns:
        (H, W, C) float32.
    """
    from skimage.restoration import denoise_nl_means

    from tfdlcv.ops.tiling import tiled

    sigma = (estimated_sigma(image) if sigma is None else sigma) / 255
    image = np.asarray(image, np.float32) / 255
    if sigma == 0:
        return 255 * image

    def denoise(tiles: np.ndarray) -> np.ndarray:
        # scikit-image takes a grey image by its two axes; with one channel it gives an array of another shape.
        is_grey = tiles.shape[-1] == 1
        restored = denoise_nl_means(
            tiles[0, ..., 0] if is_grey else tiles[0],
            patch_size=_PATCH,
            patch_distance=_DISTANCE,
            h=strength * sigma,
            sigma=sigma,
            fast_mode=fast,
            channel_axis=None if is_grey else -1,
        )
        return restored.reshape(tiles.shape)

    return 255 * tiled(denoise, image, tile=_TILE, halo=_DISTANCE + _PATCH // 2 + 1)


def estimated_sigma(image: np.ndarray) -> float:
    """Standard deviation of the noise in an image (H, W, C), in the image's units; fine texture counts as noise.

    Immerkær 1996, "Fast Noise Variance Estimation": what the mask below lets through of an image is hardly more than
    its noise. Of that the median, as by Donoho and Johnstone 1994, to which edges make no difference.
    """
    from scipy.ndimage import convolve

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)[..., None]
    passed = convolve(np.asarray(image, np.float32), mask, mode="reflect")
    # The mask has norm 6, and half of all normal numbers are within 0.6745.
    return float(np.median(np.abs(passed)) / 6 / 0.6745)


@dataclass(frozen=True)
class PrincipalComponents:
    """The linear way to a code: an image's coordinates on the directions in which training images differ most.

    mean: (D,), D = H * W * C; directions: (K, D), orthonormal.
    """

    mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def fit(cls, images: np.ndarray, code_size: int) -> PrincipalComponents:
        """The first `code_size` components of images (N, H, W, C).

        Raises:
            ValueError: there are fewer images or pixels than components.
        """
        from sklearn.decomposition import PCA

        rows = np.asarray(images, np.float64).reshape(len(images), -1)
        if code_size > min(rows.shape):
            raise ValueError(f"code_size ({code_size}) must be at most the images and the pixels of one {rows.shape}")
        fitted = PCA(code_size, svd_solver="full").fit(rows)
        return cls(fitted.mean_, fitted.components_)

    def restore(self, images: np.ndarray) -> np.ndarray:
        """Images (N, H, W, C) from their codes alone, float32."""
        rows = np.asarray(images, np.float64).reshape(len(images), -1) - self.mean
        return (rows @ self.directions.T @ self.directions + self.mean).reshape(images.shape).astype(np.float32)
