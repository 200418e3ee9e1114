import keras
import numpy as np

from tfdlcv.metrics import ConfusionMatrix
from tfdlcv.training.classifier_pictures import classifier_pictures
from tfdlcv.visualization.confusion_matrix import draw_confusion_matrix
from tfdlcv.visualization.predictions import draw_predictions

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 1), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1])


def test_they_show_the_state_of_the_moment():
    image = keras.Input((6, 6, 1))
    network = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    network.layers[-1].kernel.assign(np.random.default_rng(1).normal(size=(36, 3)) / 100)
    metric = ConfusionMatrix(3)
    names = ("a", "b", "c")
    pictures = classifier_pictures(metric, network, images=IMAGES, labels=LABELS, class_names=names)
    for _ in range(2):  # The second time, metric and network have changed.
        metric.update_state(LABELS, network(IMAGES))
        network.layers[-1].bias.assign_add([0.0, 1.0, 0.0])
        drawn = {name: picture.draw(picture.read()) for name, picture in pictures.items()}
        np.testing.assert_array_equal(drawn["confusion_matrix"], draw_confusion_matrix(metric.result(), names))
        probabilities = keras.ops.softmax(network(IMAGES))
        np.testing.assert_array_equal(
            drawn["predictions"], draw_predictions(IMAGES, probabilities, names, labels=LABELS)
        )


def test_reading_alone_reads_the_metric_and_runs_no_network():
    def fail(images, training):
        raise AssertionError("run where only the metric is to be read")

    pictures = classifier_pictures(ConfusionMatrix(3), fail, images=IMAGES, labels=LABELS)
    contents = {name: picture.read() for name, picture in pictures.items()}
    np.testing.assert_array_equal(contents["confusion_matrix"], np.zeros((3, 3)))
