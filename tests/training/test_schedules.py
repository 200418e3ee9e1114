"""Schedules: hand-computed rates at the start, in the middle, at the end and beyond; warm-up; faults of the config.

Every rate is read as the optimizer reads it, at the number of updates done so far, in a graph as well as eagerly. Most
cases have 10 updates an epoch and 4 epochs.
"""

import json
from typing import get_args

import keras
import numpy as np
import pydantic
import pytest
import tensorflow as tf

from tfdlcv.training import learning_rate_schedules, schedules

ADAPTER = pydantic.TypeAdapter(schedules.LearningRateConfig)


def parse(learning_rate):
    return ADAPTER.validate_json(json.dumps(learning_rate))


def build(*, steps_per_epoch=10, epochs=4, **fields):
    return schedules.build_schedule(parse(fields), steps_per_epoch=steps_per_epoch, epochs=epochs)


def rates(schedule, steps):
    """Rates in a compiled graph, checked to be those of eager mode and of XLA."""
    steps = [tf.constant(step, tf.int64) for step in steps]  # The type of optimizer.iterations.
    graph = tf.function(
        lambda step: tf.convert_to_tensor(schedule(step)), input_signature=[tf.TensorSpec((), tf.int64)]
    )
    compiled = tf.function(lambda step: tf.convert_to_tensor(schedule(step)), jit_compile=True)
    values = [float(graph(step)) for step in steps]
    np.testing.assert_allclose([float(schedule(step)) for step in steps], values, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose([float(compiled(step)) for step in steps], values, rtol=1e-5, atol=1e-7)
    return values


def assert_rates(schedule, expected):
    np.testing.assert_allclose(rates(schedule, expected), list(expected.values()), rtol=1e-5, atol=1e-7)


# Values


def test_constant():
    assert build(name="constant", peak=0.1) == 0.1
    assert isinstance(build(name="constant", peak=1), float)  # Keras refuses an int.


def test_number_is_short_for_constant():
    assert parse(0.1) == parse({"name": "constant", "peak": 0.1})
    assert parse(1) == parse({"name": "constant", "peak": 1.0, "warmup_epochs": 0.0})


def test_constant_with_warmup():
    schedule = build(name="constant", peak=0.8, warmup_epochs=0.4)
    assert_rates(schedule, {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 0.8, 39: 0.8, 40: 0.8, 1000: 0.8})


def test_step():
    """The first update of the epoch after the boundary, whose number is the boundary, takes the new rate."""
    schedule = build(name="step", peak=0.8, boundary_epochs=[2, 3.5], factor=0.1)
    assert_rates(schedule, {0: 0.8, 19: 0.8, 20: 0.08, 34: 0.08, 35: 0.008, 39: 0.008, 40: 0.008, 1000: 0.008})


def test_step_with_one_boundary():
    assert_rates(build(name="step", peak=0.8, boundary_epochs=[2], factor=0.5), {0: 0.8, 19: 0.8, 20: 0.4, 99: 0.4})


def test_step_at_fractions():
    schedule = build(name="step", peak=0.8, boundary_fractions=[0.5, 0.75], factor=0.5)
    assert_rates(schedule, {0: 0.8, 19: 0.8, 20: 0.4, 29: 0.4, 30: 0.2, 40: 0.2})


def test_boundaries_of_step_count_from_the_start_of_training():
    schedule = build(name="step", peak=0.8, boundary_epochs=[2], factor=0.1, warmup_epochs=1)
    assert_rates(schedule, {0: 0.08, 4: 0.4, 9: 0.8, 10: 0.8, 19: 0.8, 20: 0.08, 40: 0.08})


def test_fractions_are_rounded_to_the_nearest_update():
    """0.1 * 30 is 3.0000000000000004 in floating point: not the fourth update."""
    schedule = build(name="step", peak=1.0, boundary_fractions=[0.1], factor=0.5, epochs=3)
    assert_rates(schedule, {2: 1.0, 3: 0.5})


def test_cosine():
    schedule = build(name="cosine", peak=0.8)
    assert_rates(
        schedule,
        {0: 0.8, 10: 0.8 * (0.5 + np.sqrt(0.125)), 20: 0.4, 30: 0.8 * (0.5 - np.sqrt(0.125)), 40: 0.0, 99: 0.0},
    )
    assert rates(schedule, [39])[0] > 0  # The last update still learns.


def test_cosine_to_a_final_rate():
    assert_rates(build(name="cosine", peak=0.8, final=0.2), {0: 0.8, 20: 0.5, 40: 0.2, 99: 0.2})


def test_cosine_after_warmup_is_a_whole_half_wave():
    schedule = build(name="cosine", peak=0.8, final=0.2, warmup_epochs=2)
    assert_rates(schedule, {0: 0.04, 9: 0.4, 19: 0.8, 20: 0.8, 30: 0.5, 40: 0.2, 99: 0.2})


def test_polynomial():
    assert_rates(build(name="polynomial", peak=0.8), {0: 0.8, 10: 0.6, 20: 0.4, 39: 0.02, 40: 0.0, 99: 0.0})
    squared = build(name="polynomial", peak=0.9, final=0.1, power=2.0)
    assert_rates(squared, {0: 0.9, 20: 0.1 + 0.8 * 0.25, 30: 0.1 + 0.8 / 16, 40: 0.1, 99: 0.1})
    root = build(name="polynomial", peak=1.0, power=0.5)  # Where Keras's own is NaN at the end under XLA.
    assert_rates(root, {0: 1.0, 30: 0.5, 40: 0.0, 41: 0.0})


def test_polynomial_after_warmup():
    schedule = build(name="polynomial", peak=0.8, warmup_epochs=2)
    assert_rates(schedule, {0: 0.04, 19: 0.8, 20: 0.8, 30: 0.4, 40: 0.0})


def test_exponential():
    schedule = build(name="exponential", peak=0.8, factor=0.25)
    assert_rates(schedule, {0: 0.8, 5: 0.4, 10: 0.2, 20: 0.05, 40: 0.8 / 256, 50: 0.8 / 1024})


def test_exponential_over_several_epochs():
    assert_rates(build(name="exponential", peak=0.8, factor=0.25, every_epochs=2), {0: 0.8, 10: 0.4, 20: 0.2, 40: 0.05})


def test_exponential_staircase():
    schedule = build(name="exponential", peak=0.8, factor=0.25, every_epochs=2, staircase=True)
    assert_rates(schedule, {0: 0.8, 19: 0.8, 20: 0.2, 39: 0.2, 40: 0.05})


def test_exponential_minimum():
    schedule = build(name="exponential", peak=0.8, factor=0.25, minimum=0.1)
    assert_rates(schedule, {0: 0.8, 10: 0.2, 15: 0.1, 16: 0.1, 40: 0.1, 99: 0.1})


def test_exponential_after_warmup():
    schedule = build(name="exponential", peak=0.8, factor=0.25, minimum=0.3, warmup_epochs=1)
    assert_rates(schedule, {0: 0.08, 1: 0.16, 9: 0.8, 10: 0.8, 15: 0.4, 20: 0.3})


@pytest.mark.parametrize("decay_steps", [41, 47, 55, 61, 83, 189, 245])
def test_stairs_are_exact_in_compiled_graphs(decay_steps):
    """Where Keras's own staircase drops one update late, in a graph or under XLA."""
    schedule = learning_rate_schedules.ExponentialDecayToMinimum(
        1.0, decay_steps=decay_steps, factor=0.5, staircase=True
    )
    assert_rates(schedule, {decay_steps - 1: 1.0, decay_steps: 0.5, 3 * decay_steps - 1: 0.25, 3 * decay_steps: 0.125})


# Warm-up


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "constant"},
        {"name": "step", "boundary_epochs": [3], "factor": 0.1},
        {"name": "cosine"},
        {"name": "polynomial"},
        {"name": "exponential", "factor": 0.9},
    ],
    ids=lambda fields: fields["name"],
)
def test_warmup_rises_evenly_and_joins_the_schedule_without_a_jump(fields):
    values = np.array(rates(build(peak=0.5, warmup_epochs=1.5, **fields), range(20)))
    np.testing.assert_allclose(np.diff(values[:15]), 0.5 / 15, rtol=1e-4)
    assert values[0] > 0
    np.testing.assert_allclose(values[14:16], 0.5, rtol=1e-6)
    assert np.abs(np.diff(values[14:])).max() < 0.5 / 15


def test_warmup_of_part_of_an_epoch_is_rounded_to_updates():
    schedule = build(name="constant", peak=1.0, warmup_epochs=0.26)
    assert_rates(schedule, {0: 1 / 3, 1: 2 / 3, 2: 1.0})
    assert build(name="constant", peak=1.0, warmup_epochs=0.04) == 1.0  # Rounded to none.


def test_late_updates_are_told_apart():
    """Ten million updates in: rates depend on the difference of large numbers."""
    schedule = build(name="polynomial", peak=1.0, steps_per_epoch=1_000_000, epochs=10, warmup_epochs=1)
    assert_rates(schedule, {999_999: 1.0, 5_500_000: 0.5, 9_100_000: 0.1, 10_000_000: 0.0})


# Serialization


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "constant", "warmup_epochs": 1.0},
        {"name": "step", "boundary_epochs": [2, 3], "factor": 0.1},
        {"name": "step", "boundary_epochs": [2, 3], "factor": 0.1, "warmup_epochs": 1.0},
        {"name": "cosine", "final": 0.1, "warmup_epochs": 1.0},
        {"name": "polynomial", "power": 0.9, "warmup_epochs": 1.0},
        {"name": "exponential", "factor": 0.5, "staircase": True, "minimum": 0.1, "every_epochs": 0.5},
        {"name": "exponential", "factor": 0.5, "warmup_epochs": 1.0},
    ],
)
def test_keras_schedules_round_trip(fields):
    schedule = build(peak=0.8, **fields)
    restored = keras.optimizers.schedules.deserialize(
        json.loads(json.dumps(keras.optimizers.schedules.serialize(schedule)))
    )
    assert restored.get_config() == schedule.get_config()
    np.testing.assert_array_equal(rates(restored, range(0, 50, 7)), rates(schedule, range(0, 50, 7)))


@pytest.mark.parametrize(
    "learning_rate",
    [
        0.1,
        {"name": "constant", "peak": 0.1, "warmup_epochs": 2},
        {"name": "step", "peak": 0.1, "boundary_epochs": [1, 2.5], "factor": 0.2},
        {"name": "step", "peak": 0.1, "boundary_fractions": [0.5], "factor": 0.2},
        {"name": "cosine", "peak": 0.1, "final": 1e-4},
        {"name": "polynomial", "peak": 0.1, "final": 1e-4, "power": 0.9},
        {"name": "exponential", "peak": 0.1, "factor": 0.7, "every_epochs": 20, "staircase": True, "minimum": 1e-5},
    ],
)
def test_config_round_trips(learning_rate):
    config = parse(learning_rate)
    assert ADAPTER.validate_json(ADAPTER.dump_json(config)) == config


# Faults


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"name": "step", "factor": 0.1},
            "exactly one of boundary_epochs ([]) and boundary_fractions ([]) must be given",
        ),
        (
            {"name": "step", "factor": 0.1, "boundary_epochs": [1, 2], "boundary_fractions": [0.5]},
            "exactly one of boundary_epochs ([1, 2]) and boundary_fractions ([0.5]) must be given",
        ),
        ({"name": "step", "factor": 0.1, "boundary_epochs": [2, 1.5]}, "boundary_epochs ([2, 1.5]) must increase"),
        (
            {"name": "step", "factor": 0.1, "boundary_fractions": [0.5, 0.5]},
            "boundary_fractions ([0.5, 0.5]) must increase",
        ),
        (
            {"name": "step", "factor": 0.1, "boundary_epochs": [2, 3], "warmup_epochs": 2},
            "boundary_epochs ([2, 3]) must be greater than warmup_epochs (2)",
        ),
        ({"name": "cosine", "final": 0.2}, "final (0.2) must not be above peak (0.1)"),
        ({"name": "polynomial", "final": 0.2}, "final (0.2) must not be above peak (0.1)"),
        ({"name": "exponential", "factor": 0.5, "minimum": 0.2}, "minimum (0.2) must not be above peak (0.1)"),
    ],
)
def test_fields_that_contradict_each_other(fields, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        parse({"peak": 0.1, **fields})
    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, {message}"]


@pytest.mark.parametrize(
    "fields, field, message",
    [
        ({"name": "constant", "peak": 0}, "peak", "greater than 0"),
        ({"name": "constant", "warmup_epochs": -1}, "warmup_epochs", "greater than or equal to 0"),
        ({"name": "constant", "final": 0.1}, "final", "Extra inputs"),
        ({"name": "step", "boundary_epochs": [1]}, "factor", "required"),
        ({"name": "step", "boundary_epochs": [1], "factor": 1.0}, "factor", "less than 1"),
        ({"name": "step", "boundary_epochs": [0], "factor": 0.1}, 0, "greater than 0"),
        ({"name": "step", "boundary_fractions": [0.5, 1.0], "factor": 0.1}, 1, "less than 1"),
        ({"name": "cosine", "final": -0.1}, "final", "greater than or equal to 0"),
        ({"name": "polynomial", "power": 0}, "power", "greater than 0"),
        ({"name": "exponential", "factor": 0.0}, "factor", "greater than 0"),
        ({"name": "exponential", "factor": 0.5, "every_epochs": 0}, "every_epochs", "greater than 0"),
        ({"name": "exponential", "factor": 0.5, "staircase": "yes"}, "staircase", "valid boolean"),
    ],
)
def test_one_fault_gives_one_message_at_its_field(fields, field, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        parse({"peak": 0.1, **fields})
    [error] = caught.value.errors()
    assert error["loc"][-1] == field
    assert message in error["msg"]


@pytest.mark.parametrize("learning_rate", ["0.1", True, None, [0.1]])
def test_neither_a_number_nor_a_section(learning_rate):
    with pytest.raises(pydantic.ValidationError) as caught:
        parse(learning_rate)
    assert [error["msg"] for error in caught.value.errors()] == [
        "Value error, must be a number > 0 or a section with a `name` of constant, step, cosine, polynomial, "
        f"exponential. Received: {json.dumps(learning_rate)}"
    ]


def test_message_of_a_wrong_learning_rate_names_every_schedule():
    sections = get_args(get_args(schedules.ScheduleConfig)[0])
    names = [get_args(section.model_fields["name"].annotation)[0] for section in sections]
    with pytest.raises(pydantic.ValidationError, match=f"`name` of {', '.join(names)}"):
        parse("fast")


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"name": "cosine", "warmup_epochs": 4.0},
            r"learning_rate\.warmup_epochs \(4\) must be less than trainer\.epochs \(4\)",
        ),
        (
            {"name": "step", "boundary_epochs": [2, 4], "factor": 0.1},
            r"learning_rate\.boundary_epochs \(\[2, 4\]\) must be less than trainer\.epochs \(4\)",
        ),
        (
            {"name": "step", "boundary_fractions": [0.25], "factor": 0.1, "warmup_epochs": 1},
            r"learning_rate\.boundary_fractions \(\[0\.25\]\) of trainer\.epochs \(4\) must be greater than "
            r"learning_rate\.warmup_epochs \(1\)",
        ),
    ],
)
def test_times_beyond_the_training(fields, message):
    with pytest.raises(ValueError, match=message):
        build(peak=0.1, **fields)
    with pytest.raises(ValueError, match=message):
        schedules.check_epochs(parse({"peak": 0.1, **fields}), epochs=4)
    schedules.check_epochs(parse({"peak": 0.1, **fields}), epochs=5)


def test_a_training_without_updates():
    with pytest.raises(ValueError, match=r"steps_per_epoch \(0\) and epochs \(4\) must be positive"):
        build(name="cosine", peak=0.1, steps_per_epoch=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: learning_rate_schedules.LinearWarmup(0.1, warmup_steps=0), "warmup_steps must be at least 1"),
        (
            lambda: learning_rate_schedules.PolynomialDecayToFinal(0.1, decay_steps=0),
            "decay_steps must be at least 1",
        ),
        (
            lambda: learning_rate_schedules.ExponentialDecayToMinimum(0.1, decay_steps=0, factor=0.5),
            "decay_steps must be at least 1",
        ),
    ],
)
def test_keras_schedules_refuse_no_steps(make, message):
    with pytest.raises(ValueError, match=f"{message}. Received: .*=0"):
        make()
