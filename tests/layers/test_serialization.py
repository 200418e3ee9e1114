"""Every public layer: `get_config` returns every constructor argument, and a copy made from it is the same layer."""

import inspect
import json

import keras
import pytest

from tfdlcv import layers

# For each layer, a value of each argument that differs from its default. A new layer or argument is added here.
CHANGED_ARGUMENTS = {
    "AtrousSpatialPyramidPooling": {
        "filters": 4,
        "rates": (2, 3),
        "image_pooling": False,
        "dropout": 0.5,
        "batch_norm_momentum": 0.5,
        "batch_norm_epsilon": 1e-4,
        "synchronized_batch_norm": True,
    },
    "CropLike": {"offset": 2},
    "ImageSizeCheck": {"minimum": 8, "step": 4},
    "MaxPoolingWithIndices2D": {"pool_size": 3},
    "MaxUnpooling2D": {"pool_size": 3, "output_size": (7, 5)},
    "ResizeLike": {"interpolation": "nearest"},
    "BatchNormalization": {
        "axis": 1,
        "momentum": 0.5,
        "epsilon": 1e-5,
        "center": False,
        "scale": False,
        "beta_initializer": keras.initializers.Constant(0.5),
        "gamma_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
        "moving_mean_initializer": keras.initializers.Constant(0.25),
        "moving_variance_initializer": keras.initializers.Constant(2.0),
        "beta_regularizer": keras.regularizers.L2(0.1),
        "gamma_regularizer": keras.regularizers.L1(0.1),
        "beta_constraint": keras.constraints.MaxNorm(3.0),
        "gamma_constraint": keras.constraints.NonNeg(),
        "renorm": True,
        "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0},
        "renorm_momentum": 0.9,
        "synchronized": True,
    },
    "CausalConv1D": {
        "filters": 4,
        "kernel_size": 3,
        "dilation_rate": 2,
        "strides": 2,
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
        "bias_initializer": keras.initializers.Constant(0.5),
        "kernel_regularizer": keras.regularizers.L2(0.1),
    },
    "CausalConv3D": {
        "filters": 4,
        "kernel_size": (3, 2, 1),
        "dilation_rate": (2, 1, 1),
        "strides": 2,
        "padding": "valid",
        "time_padding": "first",
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
        "bias_initializer": keras.initializers.Constant(0.5),
        "kernel_regularizer": keras.regularizers.L2(0.1),
    },
    "Conv2D": {
        "filters": 4,
        "kernel_size": (3, 2),
        "strides": (2, 1),
        "padding": "same",
        "data_format": "channels_first",
        "dilation_rate": (2, 1),
        "groups": 2,
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
        "bias_initializer": keras.initializers.Constant(0.5),
        "kernel_regularizer": keras.regularizers.L2(0.1),
        "bias_regularizer": keras.regularizers.L1(0.1),
        "activity_regularizer": keras.regularizers.L2(0.2),
        "kernel_constraint": keras.constraints.MaxNorm(3.0),
        "bias_constraint": keras.constraints.NonNeg(),
    },
    "CosineClassifier": {"num_classes": 4, "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3)},
    "FlexConv": {"filters": 4, "use_bias": False, "normalize_positions": True, "activation": "relu"},
    "FlexConvTranspose": {"filters": 4, "use_bias": False, "normalize_positions": True, "activation": "relu"},
    "FlexPooling": {},
    "FlexUpsampling": {"method": "nearest"},
    "OctreeConv": {
        "filters": 4,
        "kernel_size": 5,
        "use_bias": False,
        "activation": "relu",
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
    },
    "OctreeToDense": {},
    "PrototypeCosines": {"prototypes": [[1.0, 0.0], [0.0, -1.0]]},
    "TemporalBlock": {
        "filters": 4,
        "kernel_size": 3,
        "dilation_rate": 2,
        "dropout": 0.5,
        "dropout_kind": "channel",
        "input_stride": 2,
        "output_stride": 2,
        "weight_normalization": False,
        "activation": "tanh",
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
    },
    "LectureLSTMCell": {"units": 4},
    "LocalResponseNormalization": {"size": 3, "bias": 1.0, "alpha": 1e-3, "beta": 0.5},
    "Maxout": {
        "units": 4,
        "pieces": 3,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
        "bias_initializer": keras.initializers.Constant(0.5),
    },
    "NegativeSquaredDistances": {"codes": [[1.0, -1.0], [0.5, 0.0]]},
    "PartialConv2D": {
        "connections": [[0, 1], [1]],
        "kernel_size": 3,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=3),
    },
    "TrainedSubsampling2D": {},
    "WeightNormalization": {"layer": keras.layers.Dense(3)},
}
# Arguments that need another one to be set.
COMPANIONS = {
    ("BatchNormalization", "renorm_clipping"): {"renorm": True},
    ("TemporalBlock", "input_stride"): {"output_stride": 2},
    ("TemporalBlock", "output_stride"): {"input_stride": 2},
}
BASE_ARGUMENTS = {"name": "another_name", "trainable": False, "dtype": "mixed_bfloat16"}
CASES = [
    (layer, argument, value)
    for layer, arguments in CHANGED_ARGUMENTS.items()
    for argument, value in {**arguments, **BASE_ARGUMENTS}.items()
]


def constructor_arguments(layer_class):
    """-> {argument: its default}, without those of the base layer."""
    parameters = [*inspect.signature(layer_class.__init__).parameters.values()][1:]  # Without self.
    return {p.name: p.default for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}


def test_every_layer_and_argument_is_listed():
    assert sorted(CHANGED_ARGUMENTS) == sorted(n for n in layers.__all__ if issubclass(getattr(layers, n), keras.Layer))
    for name, arguments in CHANGED_ARGUMENTS.items():
        expected = set(constructor_arguments(getattr(layers, name)))
        assert set(arguments) == expected, f"{name} has the arguments {sorted(expected)}"


@pytest.mark.parametrize(("name", "argument", "value"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_config_round_trip(name, argument, value):
    layer_class = getattr(layers, name)
    defaults = constructor_arguments(layer_class)
    required = {k: v for k, v in CHANGED_ARGUMENTS[name].items() if defaults[k] is inspect.Parameter.empty}
    layer = layer_class(**{**required, **COMPANIONS.get((name, argument), {}), argument: value})
    config = layer.get_config()
    if argument not in required:
        assert config[argument] != layer_class(**required).get_config()[argument], f"{argument} has its default"
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    copy = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(copy) is layer_class
    assert copy.get_config() == config
