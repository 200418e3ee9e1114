"""Rosenblatt's rule by hand, and what it can and cannot learn: AND, but not XOR (Minsky and Papert 1969)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdlcv import models
from tfdlcv.losses.perceptron import perceptron_loss
from tfdlcv.training.batches import default_metric_inputs
from tfdlcv.training.task import Task

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32").reshape((4, 1, 2, 1))


def test_hand_computed():
    logits = np.array([[2.0, 1.0, 0.5], [0.0, 3.0, 1.0]], "float32")
    assert float(perceptron_loss(logits, [1, 1])) == pytest.approx((1.0 + 0.0) / 2)
    assert float(perceptron_loss(logits, [1, 0], valid=[True, False])) == pytest.approx(1.0)
    assert float(perceptron_loss(logits, [1, 0], valid=[False, False])) == 0


def test_gradient_is_rosenblatts_correction():
    network = models.perceptron((1, 2, 1), num_classes=3)
    network.get_layer("logits").set_weights([np.array([[1.0, 2, 3], [1, 0, 0]]), np.zeros(3)])
    x = np.array([2.0, 1.0], "float32")  # Logits 3, 4, 6.
    for label, expected in ((0, [[-2, 0, 2], [-1, 0, 1]]), (2, np.zeros((2, 3)))):
        with tf.GradientTape() as tape:
            loss = perceptron_loss(network(x.reshape((1, 1, 2, 1))), [label])
        np.testing.assert_array_equal(tape.gradient(loss, network.trainable_variables[0].value), expected)


def test_equal_logits_count_as_a_mistake():
    logits = tf.Variable([[0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = perceptron_loss(logits, [0])
    np.testing.assert_array_equal(tape.gradient(loss, logits), [[-1.0, 1.0]])


def trained_accuracy(network, labels, losses, optimizer, epochs):
    task = Task(network, losses=losses, metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    task.compile(optimizer)
    batch = {"image": CORNERS, "label": np.array(labels), "valid": np.ones(4, bool)}
    data = tf.data.Dataset.from_tensor_slices(batch).repeat(epochs).batch(1, drop_remainder=True)
    task.fit(data, epochs=1, verbose=0)
    assert task.metric_inputs is default_metric_inputs
    return float((np.argmax(task.infer(CORNERS), -1) == labels).mean())


def rosenblatt(batch, logits):
    return {"perceptron": perceptron_loss(logits, batch["label"], valid=batch["valid"])}


def test_the_rule_learns_and_but_never_xor():
    accuracy = trained_accuracy(
        models.perceptron((1, 2, 1), num_classes=2), [0, 0, 0, 1], rosenblatt, keras.optimizers.SGD(1.0), 20
    )
    assert accuracy == 1
    for epochs in (5, 20):
        accuracy = trained_accuracy(
            models.perceptron((1, 2, 1), num_classes=2), [0, 1, 1, 0], rosenblatt, keras.optimizers.SGD(1.0), epochs
        )
        assert accuracy <= 0.75  # No line divides these corners.


def test_a_hidden_layer_learns_xor():
    keras.utils.set_random_seed(0)
    accuracy = trained_accuracy(
        models.mlp((1, 2, 1), num_classes=2, hidden_units=(16,)),
        [0, 1, 1, 0],
        rosenblatt,
        keras.optimizers.SGD(0.1),
        100,
    )
    assert accuracy == 1
