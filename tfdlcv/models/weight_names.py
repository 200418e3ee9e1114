"""How other libraries name the layers of the networks here.

Each table is a list of (regular expression of a whole layer name here, name there); `\\1` is the first group, and
`\\1-` and `\\1+` the numbers below and above it, since PyTorch counts from 0. Layers of numbered sequences are found
by their order.
"""

import re
from collections.abc import Sequence

Rules = Sequence[tuple[str, str]]

_RESNET_HEAD: Rules = (("stem_conv", "conv1"), ("stem_norm", "bn1"), ("logits", "fc"))
_TORCH_RESNET: Rules = (
    *_RESNET_HEAD,
    (r"stage(\d)_unit(\d+)_conv(\d)", r"layer\1.\2-.conv\3"),
    (r"stage(\d)_unit(\d+)_norm(\d)", r"layer\1.\2-.bn\3"),
    (r"stage(\d)_unit(\d+)_shortcut_conv", r"layer\1.\2-.downsample.0"),
    (r"stage(\d)_unit(\d+)_shortcut_norm", r"layer\1.\2-.downsample.1"),
)
_TIMM_RESNETV2: Rules = (
    ("stem_conv", "stem.conv"),
    ("final_norm", "norm"),
    ("logits", "head.fc"),
    (r"stage(\d)_unit(\d+)_(conv|norm)(\d)", r"stages.\1-.blocks.\2-.\3\4"),
    (r"stage(\d)_unit(\d+)_shortcut_conv", r"stages.\1-.blocks.\2-.downsample.conv"),
)
_TORCH_DENSENET: Rules = (
    ("stem_conv", "features.conv0"),
    ("stem_norm", "features.norm0"),
    ("final_norm", "features.norm5"),
    ("logits", "classifier"),
    (r"block(\d)_layer(\d+)_(conv|norm)(\d)", r"features.denseblock\1.denselayer\2.\3\4"),
    (r"transition(\d)_(conv|norm)", r"features.transition\1.\2"),
)
_TORCH_GOOGLENET: Rules = (
    (r"conv1", "conv1.conv"),
    (r"conv1_norm", "conv1.bn"),
    (r"conv2_reduce", "conv2.conv"),
    (r"conv2_reduce_norm", "conv2.bn"),
    (r"conv2", "conv3.conv"),
    (r"conv2_norm", "conv3.bn"),
    (r"inception_(..)_1x1", r"inception\1.branch1.conv"),
    (r"inception_(..)_1x1_norm", r"inception\1.branch1.bn"),
    (r"inception_(..)_3x3_reduce", r"inception\1.branch2.0.conv"),
    (r"inception_(..)_3x3_reduce_norm", r"inception\1.branch2.0.bn"),
    (r"inception_(..)_3x3", r"inception\1.branch2.1.conv"),
    (r"inception_(..)_3x3_norm", r"inception\1.branch2.1.bn"),
    (r"inception_(..)_5x5_reduce", r"inception\1.branch3.0.conv"),
    (r"inception_(..)_5x5_reduce_norm", r"inception\1.branch3.0.bn"),
    (r"inception_(..)_5x5", r"inception\1.branch3.1.conv"),
    (r"inception_(..)_5x5_norm", r"inception\1.branch3.1.bn"),
    (r"inception_(..)_pool_1x1", r"inception\1.branch4.1.conv"),
    (r"inception_(..)_pool_1x1_norm", r"inception\1.branch4.1.bn"),
    ("logits", "fc"),
)
# timm counts the pairs of depthwise and pointwise convolutions within stages of one resolution.
_MOBILENET_STAGES = (1, 2, 2, 6, 2)
_MOBILENET_PAIRS = [(stage, unit) for stage, units in enumerate(_MOBILENET_STAGES) for unit in range(units)]
_TIMM_MOBILENET: Rules = (
    ("stem_conv", "conv_stem"),
    ("stem_norm", "bn1"),
    ("logits", "classifier"),
    *(
        rule
        for pair, (stage, unit) in enumerate(_MOBILENET_PAIRS, start=1)
        for rule in (
            (f"pair{pair}_depthwise_conv", f"blocks.{stage}.{unit}.conv_dw"),
            (f"pair{pair}_depthwise_norm", f"blocks.{stage}.{unit}.bn1"),
            (f"pair{pair}_pointwise_conv", f"blocks.{stage}.{unit}.conv_pw"),
            (f"pair{pair}_pointwise_norm", f"blocks.{stage}.{unit}.bn2"),
        )
    ),
)
# Layouts of PyTorch state dicts, by the name that errors give them.
STATE_DICTS: dict[str, Rules] = {
    "torchvision/timm ResNet": _TORCH_RESNET,
    "timm ResNetV2": _TIMM_RESNETV2,
    "torchvision/timm DenseNet": _TORCH_DENSENET,
    "torchvision GoogLeNet": _TORCH_GOOGLENET,
    "timm MobileNetV1": _TIMM_MOBILENET,
}
# Layouts of keras.applications.
KERAS: dict[str, Rules] = {
    "keras.applications ResNet": (
        ("stem_conv", "conv1_conv"),
        ("stem_norm", "conv1_bn"),
        ("logits", "predictions"),
        (r"stage(\d)_unit(\d+)_conv(\d)", r"conv\1+_block\2_\3_conv"),
        (r"stage(\d)_unit(\d+)_norm(\d)", r"conv\1+_block\2_\3_bn"),
        (r"stage(\d)_unit(\d+)_shortcut_conv", r"conv\1+_block\2_0_conv"),
        (r"stage(\d)_unit(\d+)_shortcut_norm", r"conv\1+_block\2_0_bn"),
    ),
    "keras.applications VGG": (
        (r"block(\d)_conv(\d)", r"block\1_conv\2"),
        ("fc6", "fc1"),
        ("fc7", "fc2"),
        ("logits", "predictions"),
    ),
    "keras.applications DenseNet": (
        ("stem_conv", "conv1_conv"),
        ("stem_norm", "conv1_bn"),
        ("final_norm", "bn"),
        ("logits", "predictions"),
        (r"block(\d)_layer(\d+)_norm1", r"conv\1+_block\2_0_bn"),
        (r"block(\d)_layer(\d+)_conv1", r"conv\1+_block\2_1_conv"),
        (r"block(\d)_layer(\d+)_norm2", r"conv\1+_block\2_1_bn"),
        (r"block(\d)_layer(\d+)_conv2", r"conv\1+_block\2_2_conv"),
        (r"transition(\d)_norm", r"pool\1+_bn"),
        (r"transition(\d)_conv", r"pool\1+_conv"),
    ),
    "keras.applications MobileNet": (
        ("stem_conv", "conv1"),
        ("stem_norm", "conv1_bn"),
        ("logits", "conv_preds"),
        (r"pair(\d+)_depthwise_conv", r"conv_dw_\1"),
        (r"pair(\d+)_depthwise_norm", r"conv_dw_\1_bn"),
        (r"pair(\d+)_pointwise_conv", r"conv_pw_\1"),
        (r"pair(\d+)_pointwise_norm", r"conv_pw_\1_bn"),
    ),
}


def name_in_checkpoints(variable) -> str:
    """The name of a variable in a run's checkpoints, behind its number there. Keras numbers layers by how many the
    process has made before (`conv2d_7`), which says nothing in another process, so such numbers are left out; layers
    whose names differ in nothing else, `down0_0_flex` and `down0_1_flex`, share a name."""
    return re.sub(r"_\d+(?=/|_|$)", "", variable.path).replace("/", ".")


def translate(layer: str, rules: Rules) -> str | None:
    """The name there of the layer `layer` here; None if no rule knows it."""
    for pattern, replacement in rules:
        found = re.fullmatch(pattern, layer)
        if found:
            parts = re.split(r"\\(\d)([+-]?)", replacement)  # Text, group, shift, text, ...
            groups = map(_shifted, (found[int(group)] for group in parts[1::3]), parts[2::3])
            return parts[0] + "".join(group + text for group, text in zip(groups, parts[3::3], strict=True))
    return None


def _shifted(text: str, shift: str) -> str:
    return str(int(text) + {"+": 1, "-": -1}[shift]) if shift else text


def sequences(layers: Sequence[str], prefixes: Sequence[str]) -> dict[str, str] | None:
    """Names of AlexNet's and VGG's layers in `features` and `classifier` (torchvision), or `pre_logits` (timm).

    Args:
        layers: Those here that have weights, in order. The last ones may be missing, as in a network without classes.
        prefixes: Those there, in any order.

    Returns:
        A dict from layers to prefixes, or None where the counts or names show another layout.
    """

    def number(prefix):
        return int(prefix.rpartition(".")[2])

    features = sorted((p for p in prefixes if re.fullmatch(r"features\.\d+", p)), key=number)
    classifier = sorted((p for p in prefixes if re.fullmatch(r"classifier\.\d+", p)), key=number)
    if not classifier and {"pre_logits.fc1", "pre_logits.fc2"} <= set(prefixes):
        classifier = ["pre_logits.fc1", "pre_logits.fc2", "head.fc"]
    ends = ("fc6", "fc7", "logits")
    here = [layer for layer in layers if layer in ends]
    if len(features) + len(here) != len(layers) or len(classifier) != len(ends) or tuple(here) != ends[: len(here)]:
        return None
    return dict(zip(layers, [*features, *classifier[: len(here)]], strict=True))
