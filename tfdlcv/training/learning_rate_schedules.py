"""Learning-rate schedules beyond Keras's own: warm-up in front of any schedule, decays that are exact when compiled.

All are pure functions of the number of updates done so far, so that a run resumes in the right place from
`optimizer.iterations` alone. They are written with `keras.ops`, work eagerly, in graphs and under XLA, and serialize.

Compilers turn the division by a constant into a product with its rounded reciprocal: x / x may come out a little off 1.
Keras's PolynomialDecay is then NaN at the end where `power` is no integer (for 40, 465 or 1,000 steps under XLA), and a
drop of its ExponentialDecay with `staircase` comes one update late (for 41, 47 or 55 steps in any graph). The decays
here count in integers where it matters.

Paper: Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour" (gradual warm-up).
"""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfdlcv")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly for `warmup_steps` updates, then follows `schedule` from its beginning.

    Update t (from 0) takes `schedule(max(t - warmup_steps, 0)) * min((t + 1) / warmup_steps, 1)`: the last one of the
    warm-up takes the full rate, and none is wasted at a rate of zero, as the first one is by the warm-up from zero of
    `keras.optimizers.schedules.CosineDecay`.

    Args:
        schedule: What follows: a schedule, or a number for a rate that then stays.
        warmup_steps: Updates of the warm-up, at least 1.
    """

    def __init__(self, schedule, *, warmup_steps):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps must be at least 1. Received: warmup_steps={warmup_steps}")
        self.schedule = schedule
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """() float32 learning rate for `step`, the number of updates done so far, () integer."""
        step = ops.convert_to_tensor(step)
        steps_after = ops.maximum(step - self.warmup_steps, 0)
        full_rate = self.schedule(steps_after) if callable(self.schedule) else self.schedule
        return full_rate * ops.minimum(ops.cast(step + 1, "float32") / self.warmup_steps, 1.0)

    def get_config(self):
        is_number = not callable(self.schedule)
        schedule = self.schedule if is_number else keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config):
        schedule = config["schedule"]
        if isinstance(schedule, dict):
            schedule = keras.saving.deserialize_keras_object(schedule)
        return cls(schedule, warmup_steps=config["warmup_steps"])


@keras.saving.register_keras_serializable(package="tfdlcv")
class PolynomialDecayToFinal(keras.optimizers.schedules.LearningRateSchedule):
    """`final + (initial - final) * (1 - step / decay_steps) ** power`, and `final` from `decay_steps` on.

    Args:
        initial_learning_rate: Rate of the first update.
        decay_steps: Updates until the final rate, at least 1.
        final_learning_rate: Rate at the end and after it.
        power: 1 decays linearly.
    """

    def __init__(self, initial_learning_rate, *, decay_steps, final_learning_rate=0.0, power=1.0):
        super().__init__()
        if decay_steps < 1:
            raise ValueError(f"decay_steps must be at least 1. Received: decay_steps={decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.final_learning_rate = final_learning_rate
        self.power = power

    def __call__(self, step):
        """() float32 learning rate for `step`, the number of updates done so far, () integer."""
        steps_left = ops.maximum(self.decay_steps - ops.convert_to_tensor(step), 0)
        fraction_left = ops.cast(steps_left, "float32") / self.decay_steps
        span = self.initial_learning_rate - self.final_learning_rate
        return self.final_learning_rate + span * ops.power(fraction_left, self.power)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "final_learning_rate": self.final_learning_rate,
            "power": self.power,
        }


@keras.saving.register_keras_serializable(package="tfdlcv")
class ExponentialDecayToMinimum(keras.optimizers.schedules.LearningRateSchedule):
    """`max(initial_learning_rate * factor ** (step / decay_steps), minimum)`.

    Args:
        initial_learning_rate: Rate of the first update.
        decay_steps: Updates between two multiplications by `factor`, at least 1.
        factor: In (0, 1).
        staircase: Drop at once every `decay_steps` updates, not a little in every update.
        minimum: The rate does not fall below it.
    """

    def __init__(self, initial_learning_rate, *, decay_steps, factor, staircase=False, minimum=0.0):
        super().__init__()
        if decay_steps < 1:
            raise ValueError(f"decay_steps must be at least 1. Received: decay_steps={decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.factor = factor
        self.staircase = staircase
        self.minimum = minimum

    def __call__(self, step):
        """() float32 learning rate for `step`, the number of updates done so far, () integer."""
        step = ops.convert_to_tensor(step)
        if self.staircase:
            exponent = ops.cast(ops.floor_divide(step, self.decay_steps), "float32")
        else:
            exponent = ops.cast(step, "float32") / self.decay_steps
        return ops.maximum(self.initial_learning_rate * ops.power(self.factor, exponent), self.minimum)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "factor": self.factor,
            "staircase": self.staircase,
            "minimum": self.minimum,
        }
