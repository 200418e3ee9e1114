"""Copy memory: ten symbols to be repeated after a long time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_validator

from tfdlcv.config import Section
from tfdlcv.data.memory_tasks import SYMBOLS, CopyConfig
from tfdlcv.systems import sequence_networks
from tfdlcv.systems.sequence_networks import SequenceNetworkConfig
from tfdlcv.training.config import TrainerConfig
from tfdlcv.training.optimizers import OptimizerConfig, check_epochs

if TYPE_CHECKING:
    from tfdlcv.data.pipeline import Datasets
    from tfdlcv.training.export import Serving
    from tfdlcv.training.task import Task
    from tfdlcv.training.tensorboard import Picture

_GRADIENT_SAMPLES = 8
_CLASSES = 10  # Blank, eight symbols, and the mark, which is never an answer. Authors' code.


class CrossEntropyConfig(Section):
    """Cross-entropy, the mean over all steps."""

    name: Literal["cross_entropy"] = "cross_entropy"


class Config(Section):
    """A run of copy memory."""

    system: Literal["sequence/copy_memory"]
    model: SequenceNetworkConfig
    data: CopyConfig
    loss: CrossEntropyConfig = CrossEntropyConfig()
    optimizer: OptimizerConfig
    trainer: TrainerConfig

    @model_validator(mode="after")
    def _sections_fit(self):
        check_epochs(self.optimizer, epochs=self.trainer.epochs)
        return self


def build_datasets(config: Config) -> Datasets:
    """Generates the examples; `baseline_loss` is that of answering the symbols by chance."""
    from tfdlcv.data import memory_tasks
    from tfdlcv.data.pipeline import Datasets

    blanks = config.data.blanks
    facts = {"sequence_shape": [blanks + 2 * SYMBOLS, 1], "baseline_loss": memory_tasks.copy_baseline(blanks)}
    return Datasets(*memory_tasks.build_copy(config.data), facts)


def build_task(config: Config, facts: dict[str, Any]) -> Task:
    """Network, loss, and the accuracy of the ten answers."""
    import keras
    from keras import ops

    from tfdlcv.losses import sequence as sequence_losses
    from tfdlcv.training.task import Task

    options = sequence_networks.task_options(config.trainer)
    network = sequence_networks.build_sequence_network(
        config.model,
        input_shape=facts["sequence_shape"],
        outputs=_CLASSES,
        last_step_only=False,
        xla=options["xla"],
    )

    def losses(batch, logits):
        steps = sequence_losses.step_cross_entropy(logits, batch["targets"])
        return {"cross_entropy": sequence_losses.mean_over_steps(steps, valid=batch["valid"])}

    def answers(batch, logits):
        targets = batch["targets"][:, -SYMBOLS:]
        weights = sequence_losses.step_weights(ops.cast(targets, "float32"), valid=batch["valid"])
        return targets, logits[:, -SYMBOLS:], weights

    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    return Task(network, losses=losses, metrics=[accuracy], metric_inputs=answers, **options)


def optimizers(config: Config) -> dict[str, OptimizerConfig]:
    """The optimizer's section for each player of the task."""
    return {"network": config.optimizer}


def pictures(config: Config, facts: dict[str, Any], task: Task, datasets: Datasets) -> dict[str, Picture]:
    """What TensorBoard shows after each epoch: gradients over time."""
    samples = sequence_networks.examples(datasets.validation, _GRADIENT_SAMPLES)
    return {"gradients_over_time": sequence_networks.gradient_picture(task, samples["sequence"])}


def serving(config: Config, facts: dict[str, Any], task: Task) -> Serving:
    """The exported signatures: sequences to a symbol for each step; of a TCN, also step by step."""
    import tensorflow as tf

    from tfdlcv.training.sequence_serving import sequence_serving

    def describe(logits):
        return {"probabilities": tf.nn.softmax(logits), "symbol": tf.argmax(logits, axis=-1)}

    return sequence_serving(task.network, describe=describe)


def predict(
    config: Config, facts: dict[str, Any], task: Task, paths: Sequence[Path], directory: Path, on_error: str
) -> dict[str, Path]:
    """Symbols for sequences in .npy or .csv files, a row for each step."""
    from tfdlcv.systems.sequence_predictions import predict_sequences

    signature = serving(config, facts, task).signatures["serving_default"]
    steps, channels = facts["sequence_shape"]
    return predict_sequences(
        lambda sequence: {"symbol": signature(sequence=sequence)["symbol"]},
        paths,
        directory,
        on_error,
        steps=steps,
        channels=channels,
    )
