import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.metrics import RecallAtK, RetrievalAveragePrecision, mean_average_precision, recall_at_k

GENERATOR = np.random.default_rng(0)
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # Class 3 is alone.
EMBEDDINGS = GENERATOR.standard_normal((10, 3)).astype("float32")


def result_of(metric, embeddings=EMBEDDINGS, labels=LABELS, batch=4):
    """Of batches in order, the last one padded."""
    for start in range(0, len(labels), batch):
        places = np.arange(start, start + batch)
        inside = np.minimum(places, len(labels) - 1)
        truth = {"label": tf.constant(labels[inside]), "id": tf.constant(inside)}
        metric.update_state(truth, embeddings[inside], sample_weight=tf.constant(places < len(labels)))
    return float(metric.result())


@pytest.mark.parametrize("k", [1, 2, 5, 50])
def test_recall_is_that_of_the_whole_arrays(k):
    assert result_of(RecallAtK(k, 10, 3)) == pytest.approx(recall_at_k(EMBEDDINGS, LABELS, [k])[k])


def test_average_precision_is_that_of_the_whole_arrays():
    assert result_of(RetrievalAveragePrecision(10, 3)) == pytest.approx(mean_average_precision(EMBEDDINGS, LABELS))


def test_empty_places_are_no_neighbors():
    assert result_of(RecallAtK(2, 25, 3)) == pytest.approx(recall_at_k(EMBEDDINGS, LABELS, [2])[2])
    assert result_of(RetrievalAveragePrecision(25, 3)) == pytest.approx(mean_average_precision(EMBEDDINGS, LABELS))


def test_by_hand():
    embeddings = np.array([[1, 0], [3, 0.1], [0, 2], [1, 1.5]], "float32")
    labels = np.array([0, 1, 1, 0])
    # Nearest first: of 0, the others are 1, 3, 2; of 1: 0, 3, 2; of 2: 3, 1, 0; of 3: 2, 1, 0.
    assert result_of(RecallAtK(1, 4, 2), embeddings, labels) == 0
    assert result_of(RecallAtK(2, 4, 2), embeddings, labels) == pytest.approx(2 / 4)
    expected = (1 / 2 + 1 / 3 + 1 / 2 + 1 / 3) / 4
    assert result_of(RetrievalAveragePrecision(4, 2), embeddings, labels) == pytest.approx(expected)


def test_a_stride_thins_out_and_a_capacity_cuts_off():
    thinned = result_of(RecallAtK(1, 5, 3, stride=2))
    assert thinned == pytest.approx(recall_at_k(EMBEDDINGS[::2], LABELS[::2], [1])[1])
    assert result_of(RecallAtK(1, 6, 3)) == pytest.approx(recall_at_k(EMBEDDINGS[:6], LABELS[:6], [1])[1])


def test_reset_and_nothing_to_retrieve():
    metric = RecallAtK(1, 10, 3)
    first = result_of(metric)
    metric.reset_state()
    assert float(metric.result()) == 0
    assert result_of(metric) == first


def test_two_replicas_see_each_others_examples():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.HierarchicalCopyAllReduce())
    with strategy.scope():
        metrics = [RecallAtK(2, 10, 3), RetrievalAveragePrecision(10, 3)]

    @tf.function
    def update():
        def replica():
            start = 5 * tf.distribute.get_replica_context().replica_id_in_sync_group
            places = start + tf.range(5)
            truth = {"label": tf.gather(LABELS, places), "id": places}
            for metric in metrics:
                metric.update_state(truth, tf.gather(EMBEDDINGS, places))

        strategy.run(replica)

    update()
    assert float(metrics[0].result()) == pytest.approx(recall_at_k(EMBEDDINGS, LABELS, [2])[2])
    assert float(metrics[1].result()) == pytest.approx(mean_average_precision(EMBEDDINGS, LABELS))


@pytest.mark.parametrize("metric", [RecallAtK(3, 7, 2, stride=4), RetrievalAveragePrecision(7, 2, name="other")])
def test_config_round_trip(metric):
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(metric))))
    assert type(copy) is type(metric) and copy.get_config() == metric.get_config()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: RecallAtK(0, 5, 2), "k must be at least 1. Received: k=0"),
        (lambda: RecallAtK(1, 0, 2), "capacity must be at least 1. Received: capacity=0"),
        (lambda: RetrievalAveragePrecision(5, 2, stride=0), "stride must be at least 1. Received: stride=0"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
