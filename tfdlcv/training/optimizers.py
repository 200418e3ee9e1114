"""The `optimizer` section of a config, and the Keras optimizer that it describes.

Keras is imported when an optimizer is built, not before, so that configs can be checked without it.

Weight decay is decoupled in every optimizer: besides its own step, each update multiplies the decayed weights by
1 - learning_rate * weight_decay (Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization"). PyTorch's `SGD`,
`RMSprop` and `Adam` and most papers before 2018 instead add weight_decay * weights to the gradient. For SGD with
momentum, whose sum over past gradients enlarges that term, such a recipe translates to
weight_decay / (1 - momentum) here: 1e-4 with momentum 0.9 becomes 1e-3. For adaptive optimizers there is no such
factor; `adam` with weight decay is AdamW. Which variables are decayed: `tfdlcv.training.weight_decay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.training import schedules
from tfdlcv.training.schedules import LearningRateConfig

if TYPE_CHECKING:
    import keras

Momentum = Annotated[float, Field(ge=0, lt=1)]
PositiveNumber = Annotated[float, Field(gt=0)]
DecayRate = Annotated[float, Field(gt=0, lt=1)]


class _OptimizerSection(Section):
    name: str
    learning_rate: LearningRateConfig = Field(description="A number, or a schedule with its own name.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled.")
    weight_decay_on: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: spares biases and the parameters of normalization; all: spares nothing."
    )
    clip_norm: PositiveNumber | None = Field(None, description="Largest norm of all gradients together.")
    clip_value: PositiveNumber | None = Field(None, description="Largest magnitude of a gradient's element.")

    @model_validator(mode="after")
    def _one_way_of_clipping(self):
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                f"clip_norm ({self.clip_norm:g}) and clip_value ({self.clip_value:g}) must not both be given"
            )
        return self

    @model_validator(mode="after")
    def _decay_keeps_the_sign(self):
        learning_rate = self.learning_rate.peak
        if learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"weight_decay ({self.weight_decay:g}) times learning_rate ({learning_rate:g}) must be less than 1: "
                "each update multiplies the weights by one minus this product"
            )
        return self


class SGDConfig(_OptimizerSection):
    """Stochastic gradient descent.

    Keras's velocity is v <- momentum * v - learning_rate * g, and w <- w + v. Where the learning rate is constant this
    is lecture 1's v <- momentum * v + g, w <- w - learning_rate * v; after the rate dropped, Keras's velocity keeps the
    old rate for a few updates more. `nesterov` steps on by momentum * v - learning_rate * g instead of v: Nesterov's
    method in terms of the point that is looked ahead to (Sutskever et al. 2013, "On the importance of initialization
    and momentum in deep learning"; Bengio et al. 2013, "Advances in Optimizing Recurrent Networks").
    """

    name: Literal["sgd"]
    momentum: Momentum = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self):
        if self.nesterov and self.momentum == 0:
            raise ValueError(f"nesterov (true) needs momentum ({self.momentum:g}) to be greater than 0")
        return self


class AdagradConfig(_OptimizerSection):
    """Duchi, Hazan, Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization".

    a <- a + g^2, w <- w - learning_rate * g / sqrt(a + epsilon), as in lecture 1. a starts at `initial_accumulator`,
    by default 0 as in the lecture; Keras's own default is 0.1.
    """

    name: Literal["adagrad"]
    initial_accumulator: float = Field(0.0, ge=0)
    epsilon: PositiveNumber = 1e-7  # Keras.


class AdadeltaConfig(_OptimizerSection):
    """Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method", which has no learning rate: state 1.0 for it."""

    name: Literal["adadelta"]
    rho: DecayRate = 0.95  # Paper, section 4.1.
    epsilon: PositiveNumber = 1e-6  # Paper, section 4.1; it sets the size of the first updates. Keras: 1e-7.


class RMSpropConfig(_OptimizerSection):
    """Hinton 2012, lecture 6 of "Neural Networks for Machine Learning".

    a <- rho * a + (1 - rho) * g^2, w <- w - learning_rate * g / sqrt(a + epsilon), as in lecture 1. With `momentum` the
    step is added to a velocity, which is subtracted from the weights. `centered` divides by the standard deviation of
    the gradient in place of its root mean square (Graves 2013, "Generating Sequences With Recurrent Neural Networks").
    """

    name: Literal["rmsprop"]
    rho: DecayRate = 0.9  # Lecture 1.
    momentum: Momentum = 0.0
    centered: bool = False
    epsilon: PositiveNumber = 1e-7  # Keras.


class _AdamSection(_OptimizerSection):
    beta_1: DecayRate = 0.9  # Adam, algorithm 1.
    beta_2: DecayRate = 0.999  # Adam, algorithm 1.
    epsilon: PositiveNumber = 1e-7  # Keras; the Adam paper has 1e-8.


class AdamConfig(_AdamSection):
    """Kingma, Ba 2015, "Adam: A Method for Stochastic Optimization".

    Keras adds epsilon to the root of the uncorrected second moment ("epsilon hat" of the paper, section 2). Lecture 1
    prints the bias correction as v / (1 - rho); it is v / (1 - rho^t) in update t, which tends to v itself. Lecture 1
    also has epsilon under the root. `amsgrad` divides by the largest second moment so far (Reddi, Kale, Kumar 2018,
    "On the Convergence of Adam and Beyond"; Keras takes the largest before the bias correction).
    """

    name: Literal["adam"]
    amsgrad: bool = False


class AdamWConfig(_AdamSection):
    """Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization". `weight_decay` must be stated."""

    name: Literal["adamw"]
    weight_decay: float = Field(ge=0, description="Decoupled.")
    amsgrad: bool = False


class LambConfig(_AdamSection):
    """You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes".

    Adam's step r of each variable is scaled to the norm of the variable: w <- w - learning_rate * |w| / |r| * r. The
    paper decays inside: it scales r + weight_decay * w. Keras decays apart from it, as all its optimizers do, and
    scales biases as well; a variable that is zero, as biases are at first, takes r itself.
    """

    name: Literal["lamb"]


class LionConfig(_OptimizerSection):
    """Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms".

    w <- w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g), then m <- beta_2 * m + (1 - beta_2) * g. Every element
    moves by learning_rate: the paper advises 3 to 10 times less of it than for AdamW, and as much more weight decay.
    """

    name: Literal["lion"]
    beta_1: DecayRate = 0.9  # Paper, algorithm 2.
    beta_2: DecayRate = 0.99  # Paper, algorithm 2.


class MuonConfig(_AdamSection):
    """Momentum with orthogonalized updates for matrices and convolution kernels, AdamW for the rest.

    m <- momentum * m + g; g + momentum * m (m itself without `nesterov`) is brought near to the closest matrix with
    orthonormal rows or columns by Newton-Schulz iterations, and scaled by 0.2 * sqrt(larger side), so that its elements
    are as large as AdamW's (Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2): learning rates of AdamW
    serve for both. `tfdlcv.training.muon` says which variables take which update. `beta_1`, `beta_2` and `epsilon`
    are AdamW's. The authors keep the first convolution and the classifier with AdamW: name them in `adamw_layers`.
    """

    name: Literal["muon"]
    momentum: Momentum = 0.95  # Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    nesterov: bool = True
    newton_schulz_steps: int = Field(5, ge=1, le=20)  # Jordan et al. 2024.
    adamw_layers: tuple[str, ...] = Field((), description="Whole names of layers that take AdamW's update.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self):
        if self.nesterov and self.momentum == 0:
            raise ValueError(f"nesterov (true) needs momentum ({self.momentum:g}) to be greater than 0")
        return self


OptimizerConfig = Annotated[
    SGDConfig
    | AdagradConfig
    | AdadeltaConfig
    | RMSpropConfig
    | AdamConfig
    | AdamWConfig
    | LambConfig
    | LionConfig
    | MuonConfig,
    Field(discriminator="name"),
]


def check_epochs(config: OptimizerConfig, *, epochs: int) -> None:
    """Checks the learning rate's times against `trainer.epochs`, without Keras; see `schedules.check_epochs`."""
    schedules.check_epochs(config.learning_rate, epochs=epochs)


def build_optimizer(config: OptimizerConfig, *, steps_per_epoch: int, epochs: int) -> keras.optimizers.Optimizer:
    """The Keras optimizer that `config` describes, without variables yet.

    Args:
        config: One of the optimizer sections.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs of the whole training.

    Returns:
        An optimizer; its `learning_rate` can be read at any time. Before its `build`, call
        `weight_decay.exclude_from_weight_decay`, unless the config says `weight_decay_on: all`.

    Raises:
        ValueError: if a time of the schedule does not fit into `epochs`; see `schedules.check_epochs`.
    """
    from keras import optimizers

    common = {
        "learning_rate": schedules.build_schedule(config.learning_rate, steps_per_epoch=steps_per_epoch, epochs=epochs),
        # None saves the work of multiplying the weights by one. Keras's AdamW alone insists on a number.
        "weight_decay": config.weight_decay or (0.0 if isinstance(config, AdamWConfig) else None),
        "global_clipnorm": config.clip_norm,
        "clipvalue": config.clip_value,
    }
    if isinstance(config, SGDConfig):
        return optimizers.SGD(momentum=config.momentum, nesterov=config.nesterov, **common)
    if isinstance(config, AdagradConfig):
        return optimizers.Adagrad(
            initial_accumulator_value=config.initial_accumulator, epsilon=config.epsilon, **common
        )
    if isinstance(config, AdadeltaConfig):
        return optimizers.Adadelta(rho=config.rho, epsilon=config.epsilon, **common)
    if isinstance(config, RMSpropConfig):
        return optimizers.RMSprop(
            rho=config.rho, momentum=config.momentum, centered=config.centered, epsilon=config.epsilon, **common
        )
    if isinstance(config, LionConfig):
        return optimizers.Lion(beta_1=config.beta_1, beta_2=config.beta_2, **common)
    if isinstance(config, MuonConfig):
        from tfdlcv.training.muon import ConvolutionalMuon

        return ConvolutionalMuon(
            momentum=config.momentum,
            nesterov=config.nesterov,
            ns_steps=config.newton_schulz_steps,
            exclude_layers=list(config.adamw_layers),
            adam_beta_1=config.beta_1,
            adam_beta_2=config.beta_2,
            epsilon=config.epsilon,
            adam_weight_decay=common["weight_decay"],
            **common,
        )
    common |= {"beta_1": config.beta_1, "beta_2": config.beta_2, "epsilon": config.epsilon}
    if isinstance(config, LambConfig):
        return optimizers.Lamb(**common)
    if isinstance(config, AdamWConfig):
        return optimizers.AdamW(amsgrad=config.amsgrad, **common)
    return optimizers.Adam(amsgrad=config.amsgrad, **common)
