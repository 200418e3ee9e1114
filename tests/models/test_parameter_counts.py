"""Every network of the lectures has the parameters that its paper, or the weights that are in use, give it."""

import gc

import keras
import numpy as np
import pytest

from tfdlcv import models


@pytest.fixture(autouse=True)
def zero_kernels(monkeypatch):
    """Random numbers for 140 million weights would take longer than all the rest."""
    for name in ("HeNormal", "TruncatedNormal"):
        initializer = getattr(keras.initializers, name)
        monkeypatch.setattr(initializer, "__call__", lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype))
    yield
    keras.backend.clear_session()
    gc.collect()


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


# (network, arguments, trainable parameters, moving statistics)
IMAGENET = [
    ("alexnet", {}, 60_965_224, 0),
    ("alexnet", {"variant": "one_tower"}, 62_378_344, 0),
    ("alexnet", {"variant": "one_weird_trick"}, 61_100_840, 0),
    ("zfnet", {}, 62_357_608, 0),
    ("zfnet", {"variant": "wide"}, 107_627_624, 0),
    ("vgg", {}, 138_357_544, 0),
    ("vgg", {"depth": 19}, 143_667_240, 0),
    ("googlenet", {}, 6_998_552, 0),
    ("googlenet", {"auxiliary_heads": True}, 13_378_280, 0),
    ("googlenet", {"variant": "batch_norm"}, 6_624_904, 14_560),
    ("googlenet", {"variant": "batch_norm", "auxiliary_heads": True}, 13_004_888, 15_072),
    ("resnet", {"depth": 10}, 5_418_792, 5_760),
    ("resnet", {"depth": 18}, 11_689_512, 9_600),
    ("resnet", {"depth": 34}, 21_797_672, 17_024),
    ("resnet", {}, 25_557_032, 53_120),
    ("resnet", {"stride_on": "1x1"}, 25_557_032, 53_120),
    ("resnet", {"depth": 101}, 44_549_160, 105_344),
    ("resnet", {"depth": 152}, 60_192_808, 151_424),
    ("resnet", {"block_order": "full_preact"}, 25_549_352, 45_440),
    ("resnet", {"depth": 101, "block_order": "full_preact"}, 44_541_480, 97_664),
    ("resnet", {"depth": 152, "block_order": "full_preact"}, 60_185_128, 143_744),
    ("resnext", {}, 25_028_904, 68_224),
    ("resnext", {"depth": 101}, 44_177_704, 137_856),
    ("resnext", {"depth": 101, "cardinality": 64}, 83_455_272, 202_880),
    ("wide_resnet", {}, 68_883_240, 68_224),
    ("densenet", {}, 7_978_856, 83_648),
    ("densenet", {"depth": 169}, 14_149_480, 158_400),
    ("densenet", {"depth": 201}, 20_013_928, 229_056),
    # The networks of hyperspherical prototypes (Mettes et al. 2019), for images of 32 x 32 and 100 outputs.
    ("densenet", {"stem": "3x3", "input_shape": (32, 32, 3), "num_classes": 100}, 7_048_548, None),
    ("mobilenet", {}, 4_231_976, 21_888),
    ("mobilenet", {"width": 0.75}, 2_585_560, 16_416),
    ("mobilenet", {"width": 0.5}, 1_331_592, 10_944),
    ("mobilenet", {"width": 0.25}, 470_072, 5_472),
]
CIFAR = [
    *(
        ("resnet_cifar", {"depth": depth, "shortcut": shortcut}, trainable, None)
        for depth, identity, projection in (
            (20, 269_722, 272_474),
            (32, 464_154, 466_906),
            (56, 853_018, 855_770),
            (110, 1_727_962, 1_730_714),
        )
        for shortcut, trainable in (("identity", identity), ("projection", projection))
    ),
    # The five orders of a unit's layers have the same parameters (He et al. 2016, Identity Mappings, figure 4).
    *(
        ("resnet_cifar", {"depth": 110, "shortcut": "identity", "block_order": order}, 1_727_962, 8_096)
        for order in ("bn_after_add", "relu_before_add", "relu_only_preact", "full_preact")
    ),
    ("resnet_cifar", {"depth": 110, "block_order": "full_preact"}, 1_730_522, 8_096),
    ("resnet_cifar", {"depth": 164, "unit": "bottleneck", "block_order": "full_preact"}, 1_703_258, None),
    ("resnet_cifar", {"depth": 1001, "unit": "bottleneck", "block_order": "full_preact"}, 10_327_706, None),
    ("wide_resnet_cifar", {}, 36_479_194, None),
    ("wide_resnet_cifar", {"num_classes": 100}, 36_536_884, None),
    ("wide_resnet_cifar", {"depth": 40, "width": 4}, 8_949_210, None),
    ("resnext_cifar", {}, 34_426_698, None),
    ("resnext_cifar", {"cardinality": 16}, 68_155_210, None),
    ("densenet_cifar", {"depth": 40, "variant": "plain"}, 1_019_722, None),
    ("densenet_cifar", {}, 769_162, None),
    ("densenet_cifar", {"depth": 190, "growth_rate": 40}, 25_624_430, None),
    ("lenet5", {}, 61_706, 0),
    ("lecture_convnet", {}, 836_522, 0),
]


@pytest.mark.parametrize(
    ("network", "arguments", "trainable", "moving_statistics"),
    [*IMAGENET, *CIFAR],
    ids=["-".join([row[0], *map(str, row[1].values())]) for row in [*IMAGENET, *CIFAR]],
)
def test_parameters(network, arguments, trainable, moving_statistics):
    built = getattr(models, network)(**arguments)
    assert count(built.trainable_variables) == trainable
    if moving_statistics is not None:
        assert count(built.non_trainable_variables) == moving_statistics
    assert [tensor.name for tensor in built.inputs] == ["image"]
    for logits in keras.tree.flatten(built.outputs):
        assert logits.dtype == "float32" and logits.shape == (None, built.get_layer("logits").units)
