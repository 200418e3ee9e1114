"""Losses of restored images, for each image of a batch; `batch_mean` makes one number of them.

Shape legend: N images, H x W pixels, C channels.
"""

from keras import ops


def half_squared_error(truth, restored):
    """(N,) float32, half the mean squared error of each image (N, H, W, C).

    Zhang et al. 2017, "Beyond a Gaussian Denoiser", equation 1, which sums over the pixels: the mean keeps the loss,
    and with it the learning rate, from depending on the patches' size.
    """
    return 0.5 * ops.mean(ops.square(_error(truth, restored)), axis=(1, 2, 3))


def absolute_error(truth, restored):
    """(N,) float32, the mean absolute error of each image (N, H, W, C): large errors count less than in the squared.

    Zhao et al. 2017, "Loss Functions for Image Restoration with Neural Networks".
    """
    return ops.mean(ops.abs(_error(truth, restored)), axis=(1, 2, 3))


def _error(truth, restored):
    return ops.cast(truth, "float32") - ops.cast(restored, "float32")
