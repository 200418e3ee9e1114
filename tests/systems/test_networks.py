"""The sections of networks: what reaches the network, auxiliary heads, and pretrained weights."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs import tiny_config
from tfdlcv import models
from tfdlcv.errors import ConfigError, UserError
from tfdlcv.systems import networks
from tfdlcv.systems.classification import image_classifier
from tfdlcv.systems.networks import body_of
from tfdlcv.training import resuming, run

QUICK = ("trainer.epochs=1", "trainer.steps_per_epoch=1", "trainer.batch_size=8")
SGD = "optimizer={name: sgd, learning_rate: 0.001}"


def build(path, model, size=32, num_classes=3):
    return networks.build_image_network(
        tiny_config(path, f"model={model}").model, image_shape=(size, size, 3), outputs=num_classes
    )


@pytest.mark.parametrize(
    ("model", "check"),
    [
        ("{name: resnet, depth: 18}", lambda body: body.get_layer("stem_conv").kernel.shape[0] == 7),
        ("{name: resnet, depth: 20}", lambda body: body.get_layer("stem_conv").kernel.shape[0] == 3),
        ("{name: resnet, block_order: full_preact}", lambda body: body.get_layer("final_norm")),
        ("{name: resnet, stochastic_depth: 0.4}", lambda body: body.get_layer("stage3_unit3_drop").rate == 0.4),
        ("{name: resnet, depth: 50, stride_on: 1x1}", lambda b: b.get_layer("stage2_unit1_conv1").strides == (2, 2)),
        ("{name: wide_resnet_cifar, depth: 10, width: 3}", lambda b: b.get_layer("stage1_unit1_conv1").filters == 48),
        ("{name: resnext_cifar, depth: 11, cardinality: 4}", lambda b: b.get_layer("stage1_unit1_conv2").groups == 4),
        (
            "{name: densenet_cifar, depth: 10, growth_rate: 5}",
            lambda b: b.get_layer("block1_layer1_conv2").filters == 5,
        ),
        ("{name: mobilenet, width: 0.5}", lambda body: body.get_layer("stem_conv").filters == 16),
        ("{name: mobilenet, batch_norm: synchronized}", lambda body: body.get_layer("stem_norm").synchronized),
        ("{name: lecture_convnet, dropout: 0.3}", lambda body: body.get_layer("dropout").rate == 0.3),
        ("{name: perceptron}", lambda body: not np.any(body.get_layer("logits").kernel)),
    ],
)
def test_options_reach_the_network(model, check, tmp_path):
    network = build(tmp_path, model)
    assert check(body_of(network))
    assert network(np.zeros((2, 32, 32, 3), "uint8")).shape == (2, 3)
    keras.backend.clear_session()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{name: resnet, depth: 50, shortcut: identity}", "shortcut identity needs a CIFAR-style depth"),
        ("{name: resnet, depth: 20, stride_on: 1x1}", "stride_on 1x1 needs depth 50, 101 or 152"),
        ("{name: resnet, stochastic_depth: 1.0}", "stochastic_depth: must be"),
        ("{name: googlenet, dropout: 2.0}", "dropout: must be"),
        ("{name: lenet5, variant: original, activation: relu}", "variant original has its own tanh: .* not relu"),
    ],
)
def test_wrong_options(model, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        tiny_config(tmp_path, f"model={model}")


def test_an_image_that_is_too_small(tmp_path):
    with pytest.raises(
        UserError, match=r"model \(alexnet\) cannot be built for images of \(32, 32, 3\): .*at least 63"
    ):
        build(tmp_path, "{name: alexnet}")


def test_auxiliary_heads_weigh_in_the_loss_and_stay_out_of_the_export(tmp_path):
    model = "model={name: googlenet, auxiliary_heads: true, variant: batch_norm}"
    config = tiny_config(tmp_path / "run", *QUICK, SGD, model, "data={name: digits8x8, channels: 3, padding: 29}")
    results = run.train(config)
    served = tf.saved_model.load(results["export"])
    variables = sum(int(np.prod(v.shape)) for v in served.served_variables)
    expected = models.googlenet((66, 66, 3), num_classes=10, variant="batch_norm").count_params()
    assert variables == expected
    facts = json.loads((tmp_path / "run" / "dataset.json").read_text())
    task = image_classifier.build_task(config, facts)
    batch = {"label": tf.constant([0]), "valid": tf.constant([True])}
    good, bad = tf.constant([[20.0] + [0.0] * 9]), tf.zeros((1, 10))
    outputs = {"logits": good, "auxiliary_4a": bad, "auxiliary_4d": bad}
    losses = task.players[0].losses(batch, outputs)
    assert float(losses["cross_entropy"]) == pytest.approx(0, abs=1e-4)
    assert float(losses["auxiliary"]) == pytest.approx(0.3 * 2 * np.log(10), rel=1e-4)


def lenet(path, *overrides):
    return tiny_config(path, *QUICK, SGD, "model={name: lenet5}", "data={name: mnist5k, train_limit: 100}", *overrides)


def started_body(config):
    """The network of `tfdlcv.models` as the run's first step finds it."""
    facts = {"class_names": [str(digit) for digit in range(10)], "class_counts": [1] * 10, "image_shape": [28, 28, 1]}
    task = image_classifier.build_task(config, facts)
    task.begin()
    return body_of(task.network)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A file of weights for three classes, and the network."""
    keras.utils.set_random_seed(0)
    network = models.lenet5((28, 28, 1), num_classes=3)
    path = tmp_path_factory.mktemp("weights") / "source.keras"
    network.save(path)
    return path, network


def test_pretrained_weights_start_a_run(source, tmp_path):
    path, network = source
    config = lenet(tmp_path, f"model.pretrained={path}", "model.pretrained_head=leave_out", "trainer.ema_momentum=0.5")
    body = started_body(config)
    for layer in ("c1", "c3", "c5", "f6"):
        np.testing.assert_array_equal(body.get_layer(layer).kernel, network.get_layer(layer).kernel)
    facts = {"class_names": ["a", "b", "c"], "class_counts": [1] * 3, "image_shape": [28, 28, 1]}
    task = image_classifier.build_task(config, facts)
    task.begin()
    image = np.full((1, 28, 28, 1), 100, "uint8")
    np.testing.assert_allclose(task.infer(image), task.network(image), rtol=1e-5)  # The averages start there too.


def test_pretrained_weights_are_not_needed_once_there_is_a_checkpoint(source, tmp_path):
    path = tmp_path / "source.keras"
    path.write_bytes(source[0].read_bytes())
    options = (f"model.pretrained={path}", "model.pretrained_head=leave_out", "trainer.checkpoints.every_steps=1")
    results = run.train(lenet(tmp_path / "run", *options))
    path.unlink()
    run.export(tmp_path / "run", tmp_path / "export")
    (tmp_path / "run" / "metrics.json").unlink()  # As if it had been killed before its end.
    assert run.train(lenet(tmp_path / "run", *options))["test"] == pytest.approx(results["test"], rel=1e-6)
    with pytest.raises(UserError, match=r"source.keras: no such file"):
        run.train(lenet(tmp_path / "new", *options))


def test_pretrained_weights_of_another_number_of_classes_or_channels(source, tmp_path):
    options = f"model.pretrained={source[0]}"
    with pytest.raises(UserError, match=r"the network has 10 classes, the weights 3; model.pretrained_head: leave_out"):
        run.train(lenet(tmp_path / "run", options))
    with pytest.raises(UserError, match=r"\(5, 5, 3, 6\) of c1 and .* the weights are for images of 1 channel, see"):
        run.train(lenet(tmp_path / "run", options, "data.channels=3"))


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_a_run_starts_another(tmp_path, ema):
    """From its best checkpoint; where it averaged its weights, from the averages."""
    run.train(lenet(tmp_path / "first", f"trainer.ema_momentum={ema}"))
    image = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1)).astype("uint8")
    body = started_body(lenet(tmp_path / "second", f"model.pretrained={tmp_path / 'first'}"))
    served = tf.saved_model.load(tmp_path / "first" / "export" / "1").signatures["tensors"](image=image)
    logits = body(image / 127.5 - 1)
    np.testing.assert_allclose(served["probabilities"], tf.nn.softmax(logits), rtol=1e-4)


def test_freeze_until_holds_a_layer_and_all_before_it(tmp_path):
    body = body_of(build(tmp_path, "{name: resnet, depth: 20, freeze_until: stage2_unit1_conv2}"))
    frozen = {layer.name for layer in body.layers if layer.weights and not layer.trainable}
    stages = {name for name in frozen if name.startswith("stage1")}
    assert frozen - stages == {
        *("stem_conv", "stem_norm", "stage2_unit1_conv1", "stage2_unit1_norm1", "stage2_unit1_conv2")
    }  # Not the shortcut beside it.
    assert len(stages) == 3 * 4
    with pytest.raises(UserError, match=r"model.freeze_until: 'stage2_unt1' names no layer of resnet20. Near: stage2_"):
        build(tmp_path, "{name: resnet, depth: 20, freeze_until: stage2_unt1}")
    with pytest.raises(UserError, match=r"model.freeze: 'stem' names no layer of resnet20. Near: stem_"):
        build(tmp_path, "{name: resnet, depth: 20, freeze: [stem]}")


def test_frozen_layers_keep_weights_and_statistics_in_training(tmp_path):
    model = "model={name: resnet, depth: 20, freeze_until: stage1_unit3_relu2}"
    config = tiny_config(tmp_path / "run", *QUICK, SGD, model, "data={name: digits8x8, channels: 3}")
    facts = {"class_names": ["a"] * 10, "class_counts": [1] * 10, "image_shape": [8, 8, 3]}
    keras.utils.set_random_seed(config.trainer.seed)
    before = body_of(image_classifier.build_task(config, facts).network)
    run.train(config)
    _, _, _, task, _ = resuming.load_run(tmp_path / "run")
    after = body_of(task.network)
    for one, two in zip(before.weights, after.weights, strict=True):
        frozen = one.path.startswith(("stem", "stage1"))
        assert np.array_equal(one, two) == frozen, one.path


def test_the_perceptron_rule_refuses_blended_labels(tmp_path):
    with pytest.raises(ConfigError, match="loss perceptron needs one label an image"):
        tiny_config(tmp_path, "loss={name: perceptron}", "data.augmentation={mixup_alpha: 1.0}")
