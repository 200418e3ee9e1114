"""What a classifier said about images, beside them.

Shape legend: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfdlcv.visualization.contact_sheet import draw_contact_sheet


def draw_predictions(
    images: Sequence[np.ndarray],
    probabilities: np.ndarray,
    class_names: Sequence[str] = (),
    *,
    labels: Sequence[int] | None = None,
    image_names: Sequence[str] | None = None,
    columns: int | None = None,
) -> np.ndarray:
    """Draws a contact sheet that captions each image with the probability and the name of the predicted class.

    Args:
        images: N arrays (H, W, C) of uint8 with 1 or 3 channels.
        probabilities: (N, K).
        class_names: K names; numbers stand in where there are none.
        labels: N true classes, if known: they decide between ✓ and ✗, and a mistake's second line has the true class.
        image_names: N names that end the captions, such as file names.
        columns: images in a row.

    Returns:
        (H, W, 3) uint8.
    """
    probabilities = np.asarray(probabilities, dtype="float64")
    if probabilities.ndim != 2 or len(probabilities) != len(images):
        raise ValueError(
            f"probabilities must be (N, K) for N = {len(images)} images. Received: shape={probabilities.shape}"
        )
    num_classes = probabilities.shape[1]
    names = [str(name) for name in class_names] or [str(i) for i in range(num_classes)]
    if len(names) != num_classes:
        raise ValueError(
            f"class_names ({len(names)}) must be as many as the columns of probabilities ({num_classes}), or none"
        )
    for name, values in (("labels", labels), ("image_names", image_names)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"{name} ({len(values)}) must be as many as images ({len(images)})")

    predicted = probabilities.argmax(axis=1)
    correct = None if labels is None else [bool(label == best) for label, best in zip(labels, predicted, strict=True)]
    captions = []
    for i, best in enumerate(predicted):
        lines = [f"{_percent(probabilities[i, best])} {names[best]}"]
        if labels is not None and not correct[i]:
            truth = int(labels[i])  # Perhaps of a class that the network never learned.
            lines.append(f"true: {names[truth] if 0 <= truth < num_classes else truth}")
        if image_names is not None:
            lines.append(image_names[i])
        captions.append("\n".join(lines))
    title = "" if correct is None else f"{sum(correct)} of {len(correct)} right"
    return draw_contact_sheet(images, captions, correct=correct, columns=columns, title=title)


def _percent(probability: float) -> str:
    """Whole percents, without calling the nearly certain certain."""
    if 0.99 <= probability < 1:
        return f"{np.floor(1000 * probability) / 10:.1f} %"
    return f"{100 * probability:.0f} %"
