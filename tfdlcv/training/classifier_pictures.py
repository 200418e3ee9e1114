"""What a classifier of images shows in TensorBoard after an epoch: its confusion matrix, and what it says of samples.

Shape legend: N sample images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfdlcv.training.tensorboard import Picture
from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
from tfdlcv.visualization.predictions import draw_predictions


def classifier_pictures(
    confusion_matrix: keras.metrics.Metric,
    network: Callable,
    *,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str] = (),
) -> dict[str, Picture]:
    """Pictures `confusion_matrix` and `predictions` for `TensorBoardLogger`.

    Args:
        confusion_matrix: metric with result (K, K), as validation has left it.
        network: images (N, H, W, C) uint8 -> logits (N, K).
        images: (N, H, W, C) uint8, the same in every epoch, so that one sees the answers change.
        labels: (N,) their classes.
        class_names: K names; numbers stand in where there are none.
    """

    def draw_samples(_):
        logits = keras.ops.cast(network(images, training=False), "float32")
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
        return draw_predictions(images, probabilities, class_names, labels=labels)

    return {
        "confusion_matrix": Picture(
            read=lambda: keras.ops.convert_to_numpy(confusion_matrix.result()),
            draw=lambda matrix: draw_confusion_matrix(matrix, class_names),
        ),
        # Each worker has the whole network, so that the chief needs no other to run it.
        "predictions": Picture(read=lambda: None, draw=draw_samples),
    }
