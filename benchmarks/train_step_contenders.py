"""What `train_step` races: each contender trains ResNet-20 with the framework of its name, on one resident batch.

A worker process imports one framework only, so imports are inside the functions.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

NUM_CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9


@dataclasses.dataclass(frozen=True)
class Contender:
    """A network that is ready to train.

    Attributes:
        train: (steps) -> None; returns when the steps are done, on a GPU too.
        trainable_parameters: Their number.
        device: `cpu` or the kind of the accelerator.
        peak_device_memory: () -> bytes, on an accelerator.
    """

    train: Callable[[int], None]
    trainable_parameters: int
    device: str
    peak_device_memory: Callable[[], int]


def random_batch(batch_size: int, seed: int):
    """Images (batch_size, 32, 32, 3) of mean 0 and variance 1, and labels (batch_size,)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch_size, 32, 32, 3)).astype("float32")
    return image, rng.integers(0, NUM_CLASSES, batch_size).astype("int32")


def count(variables) -> int:
    """Number of values in all variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


# -- Keras ----------------------------------------------------------------------------------------------------------


def make_network(precision: str, seed: int, *, stock_batch_normalization: bool = False):
    """-> (network, optimizer) under the precision's dtype policy."""
    import keras

    from tfdlcv import models

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    network = models.resnet_cifar((32, 32, 3), num_classes=NUM_CLASSES, depth=20)
    if stock_batch_normalization:
        network = keras.models.clone_model(network, clone_function=with_stock_batch_normalization)
    return network, keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM, nesterov=True)


def with_stock_batch_normalization(layer):
    """A copy of `layer`, Keras's own if it is a batch normalisation."""
    import keras

    is_batch_normalization = isinstance(layer, keras.layers.BatchNormalization)
    return (keras.layers.BatchNormalization if is_batch_normalization else type(layer)).from_config(layer.get_config())


def tensorflow_contender(fit, network) -> Contender:
    """A contender that trains by calling `fit` with the number of steps."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return Contender(
        train=fit,
        trainable_parameters=count(network.trainable_variables),
        device="gpu" if gpus else "cpu",
        peak_device_memory=lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"],
    )


def resident(batch):
    """One batch, endlessly, as a `tf.data.Dataset` without the tuning that makes the end of `fit` wait.

    See tfdlcv/data/pipeline.py. The wait is tf.data's, not Keras's, and would hide what is measured here.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensors(batch).repeat().with_options(options)


def make_task(precision: str, *, batch_size: int, seed: int) -> Contender:
    """`Task.fit`."""
    import keras
    import tensorflow as tf

    from tfdlcv.training.task import Task

    def losses(batch, logits):
        entropies = keras.ops.sparse_categorical_crossentropy(batch["label"], logits, from_logits=True)
        return {"cross_entropy": keras.ops.mean(entropies)}

    network, optimizer = make_network(precision, seed)
    # As trainer.xla: auto.
    task = Task(network, losses=losses, xla=bool(tf.config.list_logical_devices("GPU")))
    task.compile(optimizer)
    image, label = random_batch(batch_size, seed)
    batches = resident({"image": image, "label": label})
    return tensorflow_contender(
        lambda steps: task.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), network
    )


def make_keras(precision: str, *, batch_size: int, seed: int, stock_batch_normalization: bool = False) -> Contender:
    """Keras's `fit`."""
    import keras

    network, optimizer = make_network(precision, seed, stock_batch_normalization=stock_batch_normalization)
    network.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = resident(random_batch(batch_size, seed))
    return tensorflow_contender(
        lambda steps: network.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), network
    )


def make_keras_stock(precision: str, *, batch_size: int, seed: int) -> Contender:
    """Keras's `fit` with Keras's batch normalisation."""
    return make_keras(precision, batch_size=batch_size, seed=seed, stock_batch_normalization=True)


def make_jax(precision: str, *, batch_size: int, seed: int) -> Contender:
    """The network on Keras's JAX backend, with a step that is jitted as Keras's guide shows."""
    import jax
    import keras

    network, optimizer = make_network(precision, seed)
    optimizer.build(network.trainable_variables)
    image, label = map(jax.numpy.asarray, random_batch(batch_size, seed))

    def loss(trainable, non_trainable):
        logits, non_trainable = network.stateless_call(trainable, non_trainable, image, training=True)
        entropies = keras.ops.sparse_categorical_crossentropy(label, logits, from_logits=True)
        return keras.ops.mean(entropies), non_trainable

    @jax.jit
    def step(trainable, non_trainable, slots):
        gradients, non_trainable = jax.grad(loss, has_aux=True)(trainable, non_trainable)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return trainable, non_trainable, slots

    groups = (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    state = [[variable.value for variable in group] for group in groups]

    def train(steps):
        nonlocal state
        for _ in range(steps):
            state = step(*state)
        jax.block_until_ready(state)

    device = jax.devices()[0]
    return Contender(
        train=train,
        trainable_parameters=count(network.trainable_variables),
        device=device.platform,
        peak_device_memory=lambda: device.memory_stats()["peak_bytes_in_use"],
    )


# -- PyTorch --------------------------------------------------------------------------------------------------------


def make_torch(precision: str, *, batch_size: int, seed: int) -> Contender:
    """PyTorch, channels last, with autocast for bfloat16."""
    import torch

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torch_network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    image, label = map(torch.from_numpy, random_batch(batch_size, seed))
    image = image.permute(0, 3, 1, 2).to(device, memory_format=torch.channels_last)
    label = label.to(device).long()

    def train(steps):
        for _ in range(steps):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = torch.nn.functional.cross_entropy(network(image), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # Waits for the GPU.

    return Contender(
        train=train,
        trainable_parameters=count(network.parameters()),
        device=device,
        peak_device_memory=torch.cuda.max_memory_allocated if device == "cuda" else lambda: 0,
    )


def torch_network():
    """ResNet-20 with projection shortcuts, as `tfdlcv.models.resnet_cifar`."""
    from torch import nn

    def convolution(channels, filters, kernel_size, stride=1):
        layers = (
            nn.Conv2d(channels, filters, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(filters),
        )
        return nn.Sequential(*layers)

    class Unit(nn.Module):
        def __init__(self, channels, filters, stride):
            super().__init__()
            self.convolution1 = convolution(channels, filters, 3, stride)
            self.convolution2 = convolution(filters, filters, 3)
            self.shortcut = convolution(channels, filters, 1, stride) if stride > 1 else nn.Identity()

        def forward(self, x):
            residual = self.convolution2(nn.functional.relu(self.convolution1(x), inplace=True))
            return nn.functional.relu(self.shortcut(x) + residual, inplace=True)

    units = [
        Unit(channels if index == 0 else filters, filters, stride if index == 0 else 1)
        for channels, filters, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        for index in range(3)
    ]
    stem = [convolution(3, 16, 3), nn.ReLU(inplace=True)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, NUM_CLASSES)]
    return nn.Sequential(*stem, *units, *head)


MAKE = {
    "task": make_task,
    "keras": make_keras,
    "keras_stock": make_keras_stock,
    "jax": make_jax,
    "torch": make_torch,
}
