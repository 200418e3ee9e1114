import json

import keras
import numpy as np
import tensorflow as tf

from tfdlcv.metrics.selected import Selected

TRUTH = {"label": np.array([0, 1, 1]), "value": np.array([[1.0], [2.0], [3.0]])}
OUTPUTS = {"scores": np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]), "value": np.array([[1.0], [4.0], [0.0]])}


def test_each_metric_sees_its_own():
    accuracy = Selected(keras.metrics.SparseCategoricalAccuracy(name="accuracy"), "label", "scores")
    error = Selected(keras.metrics.MeanAbsoluteError(name="error"), "value", "value")
    for metric in (accuracy, error):
        metric.update_state(TRUTH, OUTPUTS, np.array([1.0, 1.0, 0.0]))
    assert (accuracy.name, error.name) == ("accuracy", "error")
    assert float(accuracy.result()) == 0.5
    assert float(error.result()) == 1
    assert len(accuracy.variables) == 2  # So that checkpoints hold its state.
    accuracy.reset_state()
    assert float(accuracy.result()) == 0


def test_replicas_are_summed():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.HierarchicalCopyAllReduce())
    with strategy.scope():
        metric = Selected(keras.metrics.SparseCategoricalAccuracy(), "label", "scores")

    @tf.function
    def run():
        def step():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            metric.update_state({"label": tf.cast(replica, tf.int32)[None]}, {"scores": tf.constant([[0.9, 0.1]])})

        strategy.run(step)

    run()
    assert float(metric.result()) == 0.5


def test_config_round_trip():
    metric = Selected(keras.metrics.SparseTopKCategoricalAccuracy(k=3, name="top3"), "label", "scores", name="other")
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(metric))))
    assert copy.get_config() == metric.get_config()
    assert copy.metric.get_config()["k"] == 3
