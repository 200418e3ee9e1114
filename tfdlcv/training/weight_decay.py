"""Which variables weight decay spares."""

from __future__ import annotations

from collections.abc import Sequence

import keras

# Names of variables of rank 2 and more that are biases or scales all the same: the biases of GRU (2, 3 * units) and of
# MultiHeadAttention (heads, head size), gamma and beta of LayerNormalization over several axes, scale of
# RMSNormalization, alpha of PReLU, of which He et al. 2015 ("Delving Deep into Rectifiers") say not to decay it.
_NAMES_WITHOUT_DECAY = ("bias", "gamma", "beta", "scale", "alpha")


def takes_weight_decay(variable: keras.Variable) -> bool:
    """Whether `variable` is a kernel, an embedding or the like, and not a bias or a parameter of a normalization.

    Those that are spared: every variable of rank 0 or 1; and of higher rank, those named "bias", "gamma", "beta",
    "scale" or "alpha", alone or after an underscore ("relative_position_bias"). Everything else takes decay, class
    tokens and position embeddings as well.
    """
    return len(variable.shape) > 1 and variable.name.rsplit("_", 1)[-1] not in _NAMES_WITHOUT_DECAY


def exclude_from_weight_decay(
    optimizer: keras.optimizers.Optimizer, trainable_variables: Sequence[keras.Variable]
) -> None:
    """Makes `optimizer` spare the variables that `takes_weight_decay` denies.

    They are passed to Keras as variables, not as names: Keras searches names for a pattern anywhere in them, and in
    the last part of a variable's path only, so that a pattern with a layer's name finds nothing.

    Args:
        optimizer: Not yet built. Of a LossScaleOptimizer the inner one is meant, which applies the decay.
        trainable_variables: All variables that it is going to train.

    Raises:
        ValueError: if the optimizer is built. Keras means to refuse this too, but in 3.15 asks for an attribute that
            does not exist, and a training step that is traced already would go on decaying.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if optimizer.built:
        raise ValueError(
            f"exclude_from_weight_decay must be called before the optimizer is built. Received: {optimizer.name}, "
            f"built with {len(optimizer.variables)} variables"
        )
    optimizer.exclude_from_weight_decay(
        var_list=[variable for variable in trainable_variables if not takes_weight_decay(variable)]
    )
