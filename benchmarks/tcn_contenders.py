"""What `benchmarks.tcn` races: each contender trains a network of the same size, and streams of it are timed.

A worker process imports one framework only, so imports are inside the functions.

Shapes: B sequences, T steps, C channels, K outputs.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of Bai, Kolter and Koltun 2018, table 2, and the batch of the authors' code."""

    batch: int
    steps: int
    channels: int
    filters: int
    kernel_size: int
    levels: int
    outputs: int
    last_step_only: bool

    @property
    def sizes(self):
        """What `tfdlcv.models.tcn` calls sizes."""
        names = ("filters", "kernel_size", "levels", "outputs", "last_step_only")
        return {name: getattr(self, name) for name in names}


NETWORKS = {
    "copy_1000": Network(32, 1020, 1, 10, 8, 8, 10, False),
    "adding_600": Network(32, 600, 2, 24, 8, 8, 1, True),
    "sequential_mnist": Network(64, 784, 1, 25, 7, 8, 10, True),
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """A network that is ready to train.

    Attributes:
        train: (steps) -> None; returns when the steps are done, on a GPU too.
        parameters: Their number.
        device: `cpu` or the kind of the accelerator.
    """

    train: Callable[[int], None]
    parameters: int
    device: str


def make(name: str, network: str, *, threads: int) -> Contender:
    """The contender `name` on the network of that name, with so many threads on a CPU."""
    if name == "torch":
        return make_torch(NETWORKS[network], threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if name == "keras_tcn":
        return make_keras_tcn(NETWORKS[network])
    return make_task(name, NETWORKS[network])


def random_batch(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (B, T, C), and targets: (B,) float for one output, else classes (B,), or (B, T) of every step."""
    random = np.random.RandomState(0)
    sequence = random.rand(network.batch, network.steps, network.channels).astype("float32")
    if network.outputs == 1:
        return sequence, random.rand(network.batch).astype("float32")
    shape = (network.batch,) if network.last_step_only else (network.batch, network.steps)
    return sequence, random.randint(0, network.outputs, shape).astype("int32")


# -- Keras ----------------------------------------------------------------------------------------------------------


def make_network(name: str, network: Network):
    """The Keras model of a contender of this project."""
    import keras

    from tfdlcv import models

    shape = (network.steps, network.channels)
    if name in ("lstm", "gru"):
        budget = models.tcn(shape, **network.sizes).count_params()
        units = models.units_for_parameters(name, budget, inputs=network.channels, outputs=network.outputs)
        last = network.last_step_only
        return models.recurrent(shape, cell=name, units=units, outputs=network.outputs, last_step_only=last)
    if name == "full" and network.last_step_only:
        inputs = keras.Input(shape, name="sequence")
        body = models.tcn(shape, **{**network.sizes, "last_step_only": False})
        return keras.Model(inputs, body(inputs)[:, -1])
    return models.tcn(shape, **network.sizes)


def make_task(name: str, network: Network) -> Contender:
    """The training step of this project."""
    import keras
    import tensorflow as tf

    from tfdlcv.training.task import Task

    model = make_network(name, network)

    def losses(batch, y):
        if network.outputs == 1:
            return {"loss": keras.ops.mean(keras.ops.square(y[:, 0] - batch["target"]))}
        terms = keras.losses.sparse_categorical_crossentropy(batch["target"], y, from_logits=True)
        return {"loss": keras.ops.mean(terms)}

    task = Task(model, losses=losses, metric_inputs=lambda batch, y: (), xla=name == "xla")
    task.compile(keras.optimizers.Adam(1e-3))
    sequence, target = random_batch(network)
    data = tf.data.Dataset.from_tensors({"sequence": sequence, "target": target})
    return _of_keras(task, data, model.count_params())


def make_keras_tcn(network: Network) -> Contender:
    """Keras's own step on keras-tcn's layer."""
    import keras
    import tensorflow as tf
    from tcn import TCN

    inputs = keras.Input((network.steps, network.channels))
    x = TCN(
        network.filters,
        network.kernel_size,
        dilations=[2**level for level in range(network.levels)],
        use_skip_connections=False,
        return_sequences=not network.last_step_only,
    )(inputs)
    model = keras.Model(inputs, keras.layers.Dense(network.outputs)(x))
    loss = "mse" if network.outputs == 1 else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return _of_keras(model, tf.data.Dataset.from_tensors(random_batch(network)), model.count_params())


def _of_keras(model, data, parameters: int) -> Contender:
    import keras
    import tensorflow as tf

    iterator = iter(data.cache().repeat())
    step = model.make_train_function() or model.train_function

    def train(steps):
        for _ in range(steps):
            logs = step(iterator)
        keras.tree.map_structure(np.asarray, logs)  # Waits for the device.

    gpus = tf.config.list_physical_devices("GPU")
    device = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"
    return Contender(train, parameters, device)


# -- PyTorch --------------------------------------------------------------------------------------------------------


def torch_network(network: Network):
    """The authors' network, written anew: weight-normalised convolutions padded on both sides and cut at the end.

    Takes (B, C, T) and returns (B, K), or (B, T, K).
    """
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    class Block(nn.Module):
        def __init__(self, inputs, dilation):
            super().__init__()
            self.padding = (network.kernel_size - 1) * dilation
            shared = {"padding": self.padding, "dilation": dilation}
            self.first = weight_norm(nn.Conv1d(inputs, network.filters, network.kernel_size, **shared))
            self.second = weight_norm(nn.Conv1d(network.filters, network.filters, network.kernel_size, **shared))
            self.shortcut = nn.Conv1d(inputs, network.filters, 1) if inputs != network.filters else nn.Identity()

        def forward(self, x):
            y = torch.relu(self.first(x)[:, :, : -self.padding])
            y = torch.relu(self.second(y)[:, :, : -self.padding])
            return torch.relu(y + self.shortcut(x))

    class Head(nn.Linear):
        def forward(self, x):
            return super().forward(x[:, :, -1] if network.last_step_only else x.transpose(1, 2))

    blocks = [Block(network.filters if level else network.channels, 2**level) for level in range(network.levels)]
    return nn.Sequential(*blocks, Head(network.filters, network.outputs))


def make_torch(network: Network, threads: int) -> Contender:
    """PyTorch's eager step."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = torch_network(network).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    sequence, target = (torch.from_numpy(array).to(device) for array in random_batch(network))
    sequence = sequence.transpose(1, 2).contiguous()

    def loss_of(y):
        if network.outputs == 1:
            return functional.mse_loss(y[:, 0], target)
        return functional.cross_entropy(y.reshape(-1, network.outputs), target.reshape(-1).long())

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model(sequence))
            loss.backward()
            optimizer.step()
        loss.item()  # Waits for the device.

    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    return Contender(train, sum(parameter.numel() for parameter in model.parameters()), name)


# -- Streaming ------------------------------------------------------------------------------------------------------


def time_streaming(name: str, frames: int) -> dict[str, float]:
    """Microseconds of one more frame: by the stream after 200 frames, after 20,000, and by the whole window again."""
    import tensorflow as tf

    from tfdlcv import models
    from tfdlcv.models.tcn_streaming import TcnStream

    network = NETWORKS[name]
    window = models.receptive_field(network.kernel_size, network.levels)
    model = models.tcn((window, network.channels), **network.sizes)
    stream = TcnStream(model)
    step = tf.function(stream.step, autograph=False)
    whole = tf.function(lambda x: model(x, training=False), autograph=False)
    frame = tf.constant(np.random.RandomState(0).rand(1, 1, network.channels), tf.float32)
    results = {"window_steps": window}
    for key, chunks in {"us_per_frame": 1, "us_per_frame_after_20000": 100}.items():
        state = stream.initial_state(1)
        for _ in range(chunks):
            _, state = step(tf.repeat(frame, 200, axis=1), state)

        def advance():
            nonlocal state
            outputs, state = step(frame, state)
            return outputs

        results[key] = _microseconds(advance, frames)
    long = tf.repeat(frame, window, axis=1)
    results["us_of_the_window_again"] = _microseconds(lambda: whole(long), max(frames // 5, 10))
    return results


def _microseconds(call: Callable, repeats: int) -> float:
    """The median time of a call whose result is read; the first ones trace and fill caches."""
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        call().numpy()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times[3:]) * 1e6, 1)
