"""What `classification` races: each contender has one network of one framework, on one resident batch.

A worker process imports one framework only, so imports are inside the functions.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from benchmarks.train_step_contenders import count, resident

NUM_CLASSES = 1000
LEARNING_RATE, MOMENTUM = 0.01, 0.9

# By name: the function of tfdlcv.models, the arguments that make it the network of keras.applications and that of the
# PyTorch library (where they take strides and pad), the names there, and their trainable parameters.
NETWORKS = {
    "resnet50": {
        "function": "resnet",
        "as_keras": {"depth": 50, "stride_on": "1x1"},
        "as_torch": {"depth": 50, "stride_on": "3x3"},
        "keras": "ResNet50",
        "torch": ("torchvision", "resnet50"),
    },
    "mobilenet": {
        "function": "mobilenet",
        "as_keras": {"padding": "same"},
        "as_torch": {"padding": "centred"},
        "keras": "MobileNet",
        "torch": ("timm", "mobilenetv1_100"),
    },
    "densenet121": {
        "function": "densenet",
        "as_keras": {"depth": 121},
        "as_torch": {"depth": 121},
        "keras": "DenseNet121",
        "torch": ("torchvision", "densenet121"),
    },
}


@dataclasses.dataclass(frozen=True)
class Contender:
    """A network that is ready.

    Attributes:
        train: (steps) -> None; returns when the steps are done, on a GPU too.
        infer: (batches) -> None; likewise, in inference mode.
        trainable_parameters: Their number.
        device: `cpu` or the kind of the accelerator.
    """

    train: Callable[[int], None]
    infer: Callable[[int], None]
    trainable_parameters: int
    device: str


def random_batch(batch_size: int, image_size: int, seed: int):
    """Images (batch_size, image_size, image_size, 3) of mean 0 and variance 1, and labels (batch_size,)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch_size, image_size, image_size, 3)).astype("float32")
    return image, rng.integers(0, NUM_CLASSES, batch_size).astype("int32")


# -- Keras ----------------------------------------------------------------------------------------------------------


def make_network(contender: str, network: str, precision: str, image_size: int, seed: int):
    """-> (network, optimizer) under the precision's dtype policy."""
    import keras

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    shape, entry = (image_size, image_size, 3), NETWORKS[network]
    if contender.startswith("keras"):
        build = getattr(keras.applications, entry["keras"])
        model = build(weights=None, input_shape=shape, classes=NUM_CLASSES, classifier_activation=None)
    else:
        from tfdlcv import models

        arguments = entry["as_torch" if "as_torch" in contender else "as_keras"]
        model = getattr(models, entry["function"])(shape, num_classes=NUM_CLASSES, **arguments)
    return model, keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)


def make_tensorflow(contender: str, network: str, precision: str, *, batch_size: int, image_size: int, seed: int):
    """`tfdlcv`: `Task.fit`; `keras`: Keras's `fit` of keras.applications. Both infer in a `tf.function`."""
    import keras
    import tensorflow as tf

    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    model, optimizer = make_network(contender, network, precision, image_size, seed)
    image, label = random_batch(batch_size, image_size, seed)
    if contender == "keras":
        trainer, batches = model, resident((image, label))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    else:
        from tfdlcv.training.task import Task

        def losses(batch, logits):
            entropies = keras.ops.sparse_categorical_crossentropy(batch["label"], logits, from_logits=True)
            return {"cross_entropy": keras.ops.mean(entropies)}

        trainer, batches = Task(model, losses=losses, xla=on_gpu), resident({"image": image, "label": label})
        trainer.compile(optimizer)
    return tensorflow_contender(
        model, lambda steps: trainer.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), image
    )


def tensorflow_contender(network, fit: Callable[[int], None], image) -> Contender:
    """Training by `fit`, inference in a `tf.function`, which XLA compiles on a GPU."""
    import tensorflow as tf

    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    call = tf.function(lambda image: network(image, training=False), autograph=False, jit_compile=on_gpu)
    image = tf.constant(image)

    def infer(batches):
        for _ in range(batches):
            logits = call(image)
        logits.numpy()  # Waits for the GPU.

    return Contender(fit, infer, count(network.trainable_variables), "gpu" if on_gpu else "cpu")


def make_jax(contender: str, network: str, precision: str, *, batch_size: int, image_size: int, seed: int):
    """The networks on Keras's JAX backend, with steps that are jitted as Keras's guide shows."""
    import jax
    import keras

    model, optimizer = make_network(contender, network, precision, image_size, seed)
    optimizer.build(model.trainable_variables)
    image, label = map(jax.numpy.asarray, random_batch(batch_size, image_size, seed))

    def loss(trainable, non_trainable):
        logits, non_trainable = model.stateless_call(trainable, non_trainable, image, training=True)
        entropies = keras.ops.sparse_categorical_crossentropy(label, logits, from_logits=True)
        return keras.ops.mean(entropies), non_trainable

    @jax.jit
    def step(trainable, non_trainable, slots):
        gradients, non_trainable = jax.grad(loss, has_aux=True)(trainable, non_trainable)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return trainable, non_trainable, slots

    @jax.jit
    def call(trainable, non_trainable, image):
        return model.stateless_call(trainable, non_trainable, image, training=False)[0]

    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = [[variable.value for variable in group] for group in groups]

    def train(steps):
        nonlocal state
        for _ in range(steps):
            state = step(*state)
        jax.block_until_ready(state)

    def infer(batches):
        for _ in range(batches):
            logits = call(*state[:2], image)
        jax.block_until_ready(logits)

    return Contender(train, infer, count(model.trainable_variables), jax.devices()[0].platform)


# -- PyTorch --------------------------------------------------------------------------------------------------------


def make_torch(contender: str, network: str, precision: str, *, batch_size: int, image_size: int, seed: int):
    """torchvision or timm: channels last, autocast for bfloat16, compiled on a GPU."""
    import torch

    torch.manual_seed(seed)
    library, name = NETWORKS[network]["torch"]
    if library == "timm":
        import timm

        model = timm.create_model(name, num_classes=NUM_CLASSES)
    else:
        import torchvision

        model = getattr(torchvision.models, name)(weights=None, num_classes=NUM_CLASSES)
    return torch_contender(model, random_batch(batch_size, image_size, seed), precision)


def torch_contender(model, batch: tuple[np.ndarray, np.ndarray], precision: str) -> Contender:
    """SGD with momentum on the cross-entropy of `batch`, images (N, H, W, 3) and class numbers (N, ...)."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device, memory_format=torch.channels_last)
    trainable_parameters = count(model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM)
    image, label = map(torch.from_numpy, batch)
    image = image.permute(0, 3, 1, 2).to(device, memory_format=torch.channels_last)
    label = label.to(device).long()
    call = torch.compile(model) if device == "cuda" else model

    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")

    def train(steps):
        model.train()
        for _ in range(steps):
            with autocast():
                loss = torch.nn.functional.cross_entropy(call(image).float(), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # Waits for the GPU.

    def infer(batches):
        model.eval()
        with torch.inference_mode(), autocast():
            for _ in range(batches):
                logits = call(image)
            logits.sum().item()

    return Contender(train, infer, trainable_parameters, device)


MAKE = {
    "tfdlcv": make_tensorflow,
    "keras": make_tensorflow,
    "tfdlcv_as_torch": make_tensorflow,
    "torch": make_torch,
    "tfdlcv_jax": make_jax,
    "keras_jax": make_jax,
    "tfdlcv_jax_as_torch": make_jax,
}
