"""How near restored images are to the true ones.

Shape legend: N images, H x W pixels, C channels.
"""

import keras
from keras import ops

# Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004,
# section III-B: the side of the Gaussian window.
SSIM_WINDOW = 11


def peak_signal_to_noise_ratio(truth, restored, *, data_range: float = 255.0):
    """(N,) float32 decibels: 10 log10(data_range² / mean squared error of an image); infinite for equal images.

    Args:
        truth, restored: (N, H, W, C), any numbers.
        data_range: Distance between the largest and the smallest value that images may have.
    """
    error = ops.cast(truth, "float32") - ops.cast(restored, "float32")
    mean_squared_error = ops.mean(ops.square(error), axis=(1, 2, 3))
    return 10.0 * ops.log10(data_range**2 / mean_squared_error)


def structural_similarity(truth, restored, *, data_range: float = 255.0):
    """(N,) float32, at most 1: Wang et al. 2004, the mean over channels and all windows of 11 x 11 inside the image.

    Args:
        truth, restored: (N, H, W, C), any numbers; at least 11 x 11 pixels.
        data_range: As above.

    Raises:
        ValueError: an image is known to be smaller than the window.
    """
    height, width = truth.shape[1:3]
    if any(size is not None and size < SSIM_WINDOW for size in (height, width)):
        raise ValueError(
            f"structural similarity needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels. "
            f"Received: height={height}, width={width}"
        )
    # In units of the data range: squares of 255 lose digits in the variances, which are differences of large numbers.
    truth, restored = (ops.cast(images, "float32") / data_range for images in (truth, restored))
    return ops.image.ssim(truth, restored, max_val=1.0, filter_size=SSIM_WINDOW, data_format="channels_last")


@keras.saving.register_keras_serializable(package="tfdlcv")
class PeakSignalToNoiseRatio(keras.metrics.Mean):
    """The mean of `peak_signal_to_noise_ratio` over images, as papers report it: not the ratio of the mean error.

    Args:
        data_range: See `peak_signal_to_noise_ratio`.

    Call arguments:
        y_true, y_pred: Truth and restored images (N, H, W, C).
        sample_weight: (N,); 0 leaves an image out.
    """

    def __init__(self, data_range=255.0, *, name="psnr", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.data_range = data_range

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = peak_signal_to_noise_ratio(y_true, y_pred, data_range=self.data_range)
        super().update_state(*_counted(values, sample_weight))

    def get_config(self):
        return super().get_config() | {"data_range": self.data_range}


@keras.saving.register_keras_serializable(package="tfdlcv")
class StructuralSimilarity(keras.metrics.Mean):
    """The mean of `structural_similarity` over images; arguments are those of `PeakSignalToNoiseRatio`."""

    def __init__(self, data_range=255.0, *, name="ssim", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.data_range = data_range

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = structural_similarity(y_true, y_pred, data_range=self.data_range)
        super().update_state(*_counted(values, sample_weight))

    def get_config(self):
        return super().get_config() | {"data_range": self.data_range}


def _counted(values, sample_weight):
    """Values and weights; those of weight 0 become 0, since the value of padding may be infinite."""
    if sample_weight is None:
        return values, None
    sample_weight = ops.cast(sample_weight, values.dtype)
    return ops.where(sample_weight > 0, values, ops.zeros_like(values)), sample_weight
