import numpy as np
import pytest

from tfdlcv.data import splits
from tfdlcv.errors import UserError


def _names(count):
    return [f"example {index}" for index in range(count)]


def test_hashed_order_is_a_fixed_permutation():
    order = splits.hashed_order(_names(8))
    # Written down once: a change would move test examples into training for everyone who resumes a run.
    assert order.tolist() == [0, 5, 3, 6, 7, 1, 2, 4]
    assert sorted(splits.hashed_order(_names(1000)).tolist()) == list(range(1000))
    assert splits.hashed_order([]).tolist() == []


def test_hashed_order_looks_random():
    order = splits.hashed_order(_names(2000))
    assert abs(np.corrcoef(order, np.arange(2000))[0, 1]) < 0.07  # Three standard deviations.


def test_hashed_order_keeps_its_relative_order_when_names_are_added():
    before = np.array(_names(50))[splits.hashed_order(_names(50))].tolist()
    names = _names(80)
    after = [name for name in np.array(names)[splits.hashed_order(names)] if name in before]
    assert after == before


def test_held_out_is_disjoint_complete_and_stratified():
    labels = np.array([0] * 30 + [1] * 10 + [2] * 5)
    order = splits.hashed_order(_names(45))
    staying, held = splits.held_out(order, labels, splits.fraction_of(0.2))
    assert sorted([*staying, *held]) == list(range(45))
    assert splits.class_counts(labels[held], 3) == (6, 2, 1)


def test_held_out_takes_the_first_of_each_class_in_the_order():
    labels = np.array([0, 1, 0, 1, 0])
    staying, held = splits.held_out(np.array([4, 3, 2, 1, 0]), labels, lambda size: 1)
    assert held.tolist() == [4, 3]
    assert staying.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("size", "fraction", "expected"), [(10, 0.1, 1), (1, 0.9, 0), (2, 0.9, 1), (4, 0.1, 0), (0, 0.5, 0)]
)
def test_fraction_never_takes_the_last_example(size, fraction, expected):
    assert splits.fraction_of(fraction)(size) == expected


def test_a_class_that_is_missing_from_the_labels_is_no_obstacle():
    labels = np.array([2, 2, 0])
    staying, held = splits.held_out(np.array([0, 1, 2]), labels, splits.fraction_of(0.5))
    assert held.tolist() == [0]
    assert staying.tolist() == [1, 2]


def test_train_limit_takes_from_the_classes_in_turn_and_smaller_limits_are_subsets():
    labels = np.array([0] * 50 + [1] * 20 + [2] * 3)
    order = splits.hashed_order(_names(73))

    def limit(count):
        return splits.limited(order, labels, train_limit=count, class_names="abc")

    assert splits.class_counts(labels[limit(7)], 3) == (3, 2, 2)
    assert splits.class_counts(labels[limit(30)], 3) == (14, 13, 3)
    assert set(limit(7)) < set(limit(30)) < set(limit(73))
    assert limit(73).tolist() != order.tolist()  # Interleaved, but complete.
    assert sorted(limit(73)) == list(range(73))


def test_examples_per_class_are_nested():
    labels = np.array([0, 1] * 10)
    order = splits.hashed_order(_names(20))
    few, more = (splits.limited(order, labels, examples_per_class=count, class_names="ab") for count in (3, 8))
    assert splits.class_counts(labels[few], 2) == (3, 3)
    assert set(few) < set(more)


def test_examples_per_class_may_go_from_few_to_many():
    labels = np.array([0, 1, 2, 3] * 20)
    order = splits.hashed_order(_names(80))

    def limit(count):
        return splits.limited(order, labels, examples_per_class=count, class_names="abcd")

    assert splits.class_counts(labels[limit((2, 17))], 4) == (2, 7, 12, 17)
    assert splits.class_counts(labels[limit((17, 2))], 4) == (17, 12, 7, 2)
    assert set(limit((2, 17))) < set(limit((3, 17)))
    assert limit((5, 5)).tolist() == limit(5).tolist()
    with pytest.raises(UserError, match=r"examples_per_class \(21\) is more than the 20 training examples of class d"):
        limit((2, 21))


def test_no_limit_keeps_the_order():
    order = np.array([2, 0, 1])
    assert splits.limited(order, np.zeros(3, int), class_names="a").tolist() == [2, 0, 1]


def test_errors_name_the_numbers():
    labels = np.array([0, 0, 0, 1])
    order = np.arange(4)
    with pytest.raises(UserError, match=r"examples_per_class \(2\) is more than the 1 training examples of class dog"):
        splits.limited(order, labels, examples_per_class=2, class_names=("cat", "dog"))
    with pytest.raises(UserError, match=r"examples_per_class \(2\) is more than the 0 training examples of class owl"):
        splits.limited(order[:3], labels, examples_per_class=2, class_names=("cat", "owl"))
    with pytest.raises(UserError, match=r"train_limit \(5\) is more than the 4 training examples"):
        splits.limited(order, labels, train_limit=5, class_names=("cat", "dog"))
