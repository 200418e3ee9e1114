"""Learning-rate schedules as config sections. Keras is imported when one is built, not before.

Times are in epochs from the start of training, may be fractions of an epoch, and are rounded to whole updates when the
schedule is built. Every schedule can begin with a linear warm-up: update t (from 0) of the first W takes (t + 1) / W of
`peak`. The decay of `cosine`, `polynomial` and `exponential` starts where the warm-up ends; the boundaries of `step`
count from the start of training, as papers state them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tfdlcv.config import Section

if TYPE_CHECKING:
    import keras

Rate = Annotated[float, Field(gt=0)]
RateOrZero = Annotated[float, Field(ge=0)]
Epochs = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _ScheduleSection(Section):
    name: str
    peak: Rate = Field(description="Learning rate after the warm-up, where the decay starts.")
    warmup_epochs: float = Field(0.0, ge=0, description="Length of the linear warm-up.")


class ConstantSchedule(_ScheduleSection):
    """`peak` to the end."""

    name: Literal["constant"]


class StepSchedule(_ScheduleSection):
    """`peak`, multiplied by `factor` at every boundary; the first update of the epoch after it takes the new rate."""

    name: Literal["step"]
    # strict=False takes a list for the tuple: pydantic forgets that it came from JSON behind _expand_number.
    boundary_epochs: tuple[Epochs, ...] = Field(
        (), strict=False, description="Epochs after which the rate drops, as in [80, 120]."
    )
    boundary_fractions: tuple[Fraction, ...] = Field(
        (), strict=False, description="The same as fractions of trainer.epochs, as in [0.5, 0.75]."
    )
    factor: float = Field(gt=0, lt=1, description="Multiplies the rate at every boundary.")

    @model_validator(mode="after")
    def _boundaries_once_and_increasing(self):
        if bool(self.boundary_epochs) == bool(self.boundary_fractions):
            raise ValueError(
                f"exactly one of boundary_epochs ({_listed(self.boundary_epochs)}) and boundary_fractions "
                f"({_listed(self.boundary_fractions)}) must be given"
            )
        field, boundaries = self.given_boundaries()
        if any(later <= earlier for earlier, later in itertools.pairwise(boundaries)):
            raise ValueError(f"{field} ({_listed(boundaries)}) must increase")
        if self.boundary_epochs and self.boundary_epochs[0] <= self.warmup_epochs:
            raise ValueError(
                f"boundary_epochs ({_listed(boundaries)}) must be greater than warmup_epochs ({self.warmup_epochs:g})"
            )
        return self

    def given_boundaries(self) -> tuple[str, tuple[float, ...]]:
        """Name and value of the one of the two fields that is given."""
        if self.boundary_epochs:
            return "boundary_epochs", self.boundary_epochs
        return "boundary_fractions", self.boundary_fractions


class CosineSchedule(_ScheduleSection):
    """Half a cosine from `peak` to `final`, reached when the last update is done.

    Paper: Loshchilov, Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts" (without the restarts).
    """

    name: Literal["cosine"]
    final: RateOrZero = Field(0.0, description="Learning rate at the end of training.")

    @model_validator(mode="after")
    def _final_not_above_peak(self):
        return _check_not_above_peak(self, "final")


class PolynomialSchedule(_ScheduleSection):
    """`final + (peak - final) * (1 - progress) ** power`, progress running from 0 to 1 when the last update is done."""

    name: Literal["polynomial"]
    final: RateOrZero = Field(0.0, description="Learning rate at the end of training.")
    power: float = Field(1.0, gt=0, description="1 decays linearly.")

    @model_validator(mode="after")
    def _final_not_above_peak(self):
        return _check_not_above_peak(self, "final")


class ExponentialSchedule(_ScheduleSection):
    """`peak * factor ** (epochs since the warm-up / every_epochs)`, but never below `minimum`."""

    name: Literal["exponential"]
    factor: float = Field(gt=0, lt=1, description="Multiplies the rate once in every `every_epochs`.")
    every_epochs: Epochs = Field(1.0, description="Epochs in which the rate falls by `factor`.")
    staircase: bool = Field(False, description="Drop at once every `every_epochs`, not a little in every update.")
    minimum: RateOrZero = Field(0.0, description="The rate does not fall below it.")

    @model_validator(mode="after")
    def _minimum_not_above_peak(self):
        return _check_not_above_peak(self, "minimum")


ScheduleConfig = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | PolynomialSchedule | ExponentialSchedule,
    Field(discriminator="name"),
]


def _expand_number(learning_rate: Any) -> Any:
    if isinstance(learning_rate, (int, float)) and not isinstance(learning_rate, bool):
        return {"name": "constant", "peak": learning_rate}
    if not isinstance(learning_rate, (dict, Section)):
        names = "constant, step, cosine, polynomial, exponential"
        raise ValueError(
            f"must be a number > 0 or a section with a `name` of {names}. "
            f"Received: {json.dumps(learning_rate, default=repr)}"
        )
    return learning_rate


# A number is short for a constant rate without warm-up.
LearningRateConfig = Annotated[
    ScheduleConfig, BeforeValidator(_expand_number, json_schema_input_type=Rate | ScheduleConfig)
]


def check_epochs(learning_rate: ScheduleConfig, *, epochs: int) -> None:
    """Checks what depends on the length of the training. Needs no Keras, so that a config can be checked with it.

    Args:
        learning_rate: A section of this module.
        epochs: `trainer.epochs`.

    Raises:
        ValueError: if the warm-up takes the whole training, or a boundary lies at its end, beyond it, or in the
            warm-up.
    """
    warmup_epochs = learning_rate.warmup_epochs
    if warmup_epochs and warmup_epochs >= epochs:
        raise ValueError(f"learning_rate.warmup_epochs ({warmup_epochs:g}) must be less than trainer.epochs ({epochs})")
    if not isinstance(learning_rate, StepSchedule):
        return
    field, boundaries = learning_rate.given_boundaries()
    if field == "boundary_epochs" and boundaries[-1] >= epochs:
        raise ValueError(
            f"learning_rate.boundary_epochs ({_listed(boundaries)}) must be less than trainer.epochs ({epochs})"
        )
    if field == "boundary_fractions" and boundaries[0] * epochs <= warmup_epochs:
        raise ValueError(
            f"learning_rate.boundary_fractions ({_listed(boundaries)}) of trainer.epochs ({epochs}) must be greater "
            f"than learning_rate.warmup_epochs ({warmup_epochs:g})"
        )


def build_schedule(
    learning_rate: ScheduleConfig, *, steps_per_epoch: int, epochs: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """What a Keras optimizer takes as `learning_rate`.

    Args:
        learning_rate: A section of this module.
        steps_per_epoch: Updates in an epoch.
        epochs: Epochs of the whole training.

    Returns:
        A float where the rate never changes (Keras then keeps it in a variable, which callbacks can set), or a schedule
        of the number of updates done.

    Raises:
        ValueError: as `check_epochs`; or if steps_per_epoch or epochs is not positive.
    """
    if steps_per_epoch < 1 or epochs <= 0:
        raise ValueError(f"steps_per_epoch ({steps_per_epoch}) and epochs ({epochs}) must be positive")
    check_epochs(learning_rate, epochs=epochs)

    from tfdlcv.training.learning_rate_schedules import LinearWarmup

    def to_steps(time_epochs: float) -> int:
        return round(time_epochs * steps_per_epoch)

    warmup_steps = to_steps(learning_rate.warmup_epochs)
    schedule = _build_after_warmup(learning_rate, to_steps, warmup_steps, epochs)
    return LinearWarmup(schedule, warmup_steps=warmup_steps) if warmup_steps else schedule


def _build_after_warmup(config: ScheduleConfig, to_steps: Callable[[float], int], warmup_steps: int, epochs: int):
    from keras.optimizers import schedules

    from tfdlcv.training.learning_rate_schedules import ExponentialDecayToMinimum, PolynomialDecayToFinal

    decay_steps = max(to_steps(epochs) - warmup_steps, 1)
    if isinstance(config, StepSchedule):
        boundary_epochs = config.boundary_epochs or [fraction * epochs for fraction in config.boundary_fractions]
        return schedules.PiecewiseConstantDecay(
            # Keras keeps the old rate in the update whose number is the boundary; the new one is due there.
            [to_steps(boundary) - warmup_steps - 1 for boundary in boundary_epochs],
            [config.peak * config.factor**drops for drops in range(len(boundary_epochs) + 1)],
        )
    if isinstance(config, CosineSchedule):
        return schedules.CosineDecay(config.peak, decay_steps, alpha=config.final / config.peak)
    if isinstance(config, PolynomialSchedule):
        return PolynomialDecayToFinal(
            config.peak, decay_steps=decay_steps, final_learning_rate=config.final, power=config.power
        )
    if isinstance(config, ExponentialSchedule):
        return ExponentialDecayToMinimum(
            config.peak,
            decay_steps=max(to_steps(config.every_epochs), 1),
            factor=config.factor,
            staircase=config.staircase,
            minimum=config.minimum,
        )
    return config.peak


def _check_not_above_peak(config: _ScheduleSection, field: str):
    value = getattr(config, field)
    if value > config.peak:
        raise ValueError(f"{field} ({value:g}) must not be above peak ({config.peak:g})")
    return config


def _listed(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"
