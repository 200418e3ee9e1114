import numpy as np
import pytest
import tensorflow as tf

from tfdlcv.data.labelled_images import array_split
from tfdlcv.data.valued_images import ValueFacts, values_in_range, with_values
from tfdlcv.errors import UserError

YEARS = ValueFacts("year", "years", 1000.0, 1932.0)


def test_examples_get_their_values_in_batches_and_one_by_one():
    split = with_values(array_split(np.zeros((3, 2, 2, 1), "uint8"), np.array([4, 5, 6]), str), [0.5, 1.5, 2.5])
    batch = split.fetch(tf.constant([2, 0], tf.int64))
    np.testing.assert_array_equal(batch["value"], np.float32([2.5, 0.5]))
    np.testing.assert_array_equal(batch["label"], [6, 4])
    assert split.fetch(tf.constant(1, tf.int64))["value"].numpy() == 1.5
    assert split.num_examples == 3


def test_values_outside_the_range_stop_or_are_clipped():
    values = [1500.0, 999.0, 2000.0]
    message = (
        r"picture 1 has year 999, outside data.value_range \[1000, 1932\], as have 1 others "
        r"\(data.out_of_range: clip would take the nearest end\)"
    )
    with pytest.raises(UserError, match=message):
        values_in_range(values, YEARS, "stop", lambda index: f"picture {index}")
    np.testing.assert_array_equal(values_in_range(values, YEARS, "clip", str), [1500, 1000, 1932])


@pytest.mark.parametrize("out_of_range", ["stop", "clip"])
def test_values_that_are_no_numbers_always_stop(out_of_range):
    with pytest.raises(UserError, match="picture 1 has no year: nan"):
        values_in_range([1500.0, float("nan")], YEARS, out_of_range, lambda index: f"picture {index}")
