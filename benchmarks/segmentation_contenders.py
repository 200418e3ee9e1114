"""What `segmentation` races: each contender has one network of one framework, on one resident batch.

A worker process imports one framework only, so imports are inside the functions.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.classification_contenders import LEARNING_RATE, MOMENTUM, tensorflow_contender, torch_contender
from benchmarks.train_step_contenders import resident

# DeepLabV3 at output stride 8, and at 32, the only one at which KerasHub's own networks can have it.
NETWORKS = ("unet", "deeplab_v3", "deeplab_v3_stride32")
NUM_CLASSES = 21
UNET_FILTERS = (64, 128, 256, 512, 1024)


def random_batch(batch_size: int, image_size: int, seed: int):
    """Images (batch_size, image_size, image_size, 3) of mean 0 and variance 1, and masks without the last axis."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch_size, image_size, image_size, 3)).astype("float32")
    return image, rng.integers(0, NUM_CLASSES, (batch_size, image_size, image_size)).astype("int32")


# -- Keras ----------------------------------------------------------------------------------------------------------


def set_precision(precision: str, seed: int):
    """Keras's dtype policy and random seed."""
    import keras

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")


def make_tfdlcv(network: str, precision: str, *, batch_size: int, image_size: int, width: float, seed: int):
    """`Task.fit` of the network of tfdlcv.models."""
    import keras
    import tensorflow as tf

    from tfdlcv import models
    from tfdlcv.losses import mask_cross_entropy
    from tfdlcv.training.task import Task

    set_precision(precision, seed)
    shape = (image_size, image_size, 3)
    if network == "unet":
        model = models.unet(shape, num_classes=NUM_CLASSES, width=width)
    else:
        form = {"output_stride": 8} if network == "deeplab_v3" else {"output_stride": 32, "rates": (6, 12, 18)}
        model = models.deeplab_v3(shape, num_classes=NUM_CLASSES, multigrid=None, **form)

    def losses(batch, logits):
        return {"cross_entropy": mask_cross_entropy(logits, batch["mask"])}

    task = Task(model, losses=losses, xla=bool(tf.config.list_logical_devices("GPU")))
    task.compile(keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM))
    image, mask = random_batch(batch_size, image_size, seed)
    batches = resident({"image": image, "mask": mask})
    return tensorflow_contender(
        model, lambda steps: task.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), image
    )


def make_keras_hub(network: str, precision: str, *, batch_size: int, image_size: int, width: float, seed: int):
    """Keras's `fit` of KerasHub's DeepLabV3, as its documentation builds it, without low-level features."""
    import keras
    import keras_hub

    set_precision(precision, seed)
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(image_size, image_size, 3),
    )
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        image_shape=(image_size, image_size, 3),
    )
    model = keras_hub.models.DeepLabV3ImageSegmenter(
        backbone=backbone, num_classes=NUM_CLASSES, activation=None, preprocessor=None
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # KerasHub's default metric is for one-hot masks.
    model.compile(keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM), loss, metrics=[])
    image, mask = random_batch(batch_size, image_size, seed)
    batches = resident((image, mask))
    return tensorflow_contender(
        model, lambda steps: model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0), image
    )


def layer_calls(*, batch_size: int, image_size: int, seed: int) -> dict[tuple[str, str, str], Callable]:
    """-> {(layer, way, "forward" or "gradients"): () -> None, which returns when it is done}.

    Unpooling is that of SegNet's first block, the pyramid that of ResNet-50 at output stride 16 with an eighth of the
    channels.
    """
    import tensorflow as tf

    from tfdlcv.layers import AtrousSpatialPyramidPooling, MaxPoolingWithIndices2D, MaxUnpooling2D

    rng = np.random.default_rng(seed)
    pool, unpool, pyramid = MaxPoolingWithIndices2D(), MaxUnpooling2D(), AtrousSpatialPyramidPooling()
    inputs = {
        "unpooling": tf.constant(rng.normal(size=(batch_size, image_size, image_size, 64)), "float32"),
        "pyramid": tf.constant(rng.normal(size=(batch_size, image_size // 16, image_size // 16, 256)), "float32"),
    }
    pyramid.build(inputs["pyramid"].shape)

    def scattered(x):
        values, places = tf.nn.max_pool_with_argmax(x, 2, 2, "VALID", include_batch_in_index=True)
        return tf.reshape(tf.scatter_nd(tf.reshape(places, (-1, 1)), tf.reshape(values, (-1,)), [tf.size(x)]), x.shape)

    def with_gradients(function, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x) ** 2)
        return tape.gradient(loss, x)

    ways = {
        "eager": lambda function: function,
        "graph": tf.function,
        "XLA": lambda function: tf.function(function, jit_compile=True),
    }
    functions = [("unpooling", way, lambda x: unpool(pool(x)), compiled) for way, compiled in ways.items()]
    functions.append(("unpooling", "argmax, scatter", scattered, tf.function))
    functions += [("pyramid", way, pyramid, compiled) for way, compiled in ways.items()]
    calls = {}
    for layer, way, function, compiled in functions:
        forward, gradients = compiled(function), compiled(lambda x, function=function: with_gradients(function, x))
        for kind, call in (("forward", forward), ("gradients", gradients)):
            calls[layer, way, kind] = lambda call=call, x=inputs[layer]: call(x).numpy()
    return calls


# -- PyTorch --------------------------------------------------------------------------------------------------------


def make_torch(network: str, precision: str, *, batch_size: int, image_size: int, width: float, seed: int):
    """PyTorch: channels last, autocast for bfloat16, compiled on a GPU."""
    import torch

    torch.manual_seed(seed)
    model = torch_unet(width) if network == "unet" else torchvision_deeplab()
    return torch_contender(model, random_batch(batch_size, image_size, seed), precision)


def torchvision_deeplab():
    """deeplabv3_resnet50 whose head is the pyramid and the logits, as in the paper."""
    import torch
    from torchvision.models import segmentation

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
            pyramid, *_, logits = self.network.classifier
            pyramid.project[-1].p = 0.0  # Its dropout.
            self.network.classifier = torch.nn.Sequential(pyramid, logits)

        def forward(self, image):
            return self.network(image)["out"]

    return Logits()


def torch_unet(width: float):
    """U-Net with zeros around its convolutions, as `tfdlcv.models.unet`."""
    import torch
    from torch import nn

    def double(channels, filters):
        first, second = nn.Conv2d(channels, filters, 3, padding=1), nn.Conv2d(filters, filters, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            filters = [int(width * count) for count in UNET_FILTERS]
            channels = [3, *filters]
            self.down = nn.ModuleList(double(channels[level], filters[level]) for level in range(5))
            self.up = nn.ModuleList(nn.ConvTranspose2d(filters[level + 1], filters[level], 2, 2) for level in range(4))
            self.join = nn.ModuleList(double(2 * filters[level], filters[level]) for level in range(4))
            self.logits = nn.Conv2d(filters[0], NUM_CLASSES, 1)

        def forward(self, x):
            skips = []
            for level, convolutions in enumerate(self.down):
                x = convolutions(nn.functional.max_pool2d(x, 2) if level else x)
                skips.append(x)
            for level in (3, 2, 1, 0):
                x = self.join[level](torch.cat([skips[level], self.up[level](x)], dim=1))
            return self.logits(x)

    return UNet()


MAKE = {
    "tfdlcv": dict.fromkeys(NETWORKS, make_tfdlcv),
    "torch": {"unet": make_torch, "deeplab_v3": make_torch},
    "keras_hub": {"deeplab_v3_stride32": make_keras_hub},
}
