import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from tfdlcv.metrics import MeanIoU, PartIoU, PerClassIoU, per_class_iou


def logits_of(labels, classes):
    return np.eye(classes, dtype="float32")[np.asarray(labels)]


def test_by_hand():
    # Class 0: 3 right, 1 missed, 2 wrongly taken: 3/6. Class 1: 4 of 4 + 1 + 2. Class 2 is nowhere.
    matrix = np.array([[3.0, 1, 0], [2, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(per_class_iou(matrix), [0.5, 4 / 7, np.nan], rtol=1e-6)


def test_against_scikit_learn():
    random = np.random.default_rng(0)
    truth, guess = random.integers(0, 4, (2, 3, 50))
    shares, mean = PerClassIoU(5), MeanIoU(5)
    for metric in (shares, mean):
        for row in range(3):
            metric.update_state(truth[row : row + 1], logits_of(guess[row : row + 1], 5))
    expected = jaccard_score(truth.reshape(-1), guess.reshape(-1), average=None)
    np.testing.assert_allclose(shares.result(), [*expected, np.nan], rtol=1e-5)
    assert float(mean.result()) == pytest.approx(expected.mean(), rel=1e-5)


def test_labels_that_do_not_count():
    mean = MeanIoU(2)
    mean.update_state(np.array([[0, 1, -1, 1]]), logits_of([[0, 1, 0, 0]], 2), np.array([[1.0, 1, 1, 0]]))
    assert float(mean.result()) == 1.0
    assert float(MeanIoU(2).result()) == 0.0


def test_a_matrix_that_is_none():
    with pytest.raises(ValueError, match=r"square \(K, K\) confusion matrix. Received: shape=\(2, 3\)"):
        per_class_iou(np.zeros((2, 3)))


# Parts 0, 1 are of category 0; 2, 3, 4 of category 1.
CATEGORY = (0, 0, 1, 1, 1)


def part_logits(rows):
    return np.array(rows, "float32")[None]


def test_parts_by_hand():
    # A shape of category 1: truth 2 2 3 3, guess 2 3 3 3. Part 2: 1/2, part 3: 2/3, part 4 nowhere: 1.
    truth = np.array([[2, 2, 3, 3]])
    metric = PartIoU(CATEGORY)
    metric.update_state(truth, logits_of([[2, 3, 3, 3]], 5))
    assert float(metric.result()) == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)


def test_parts_of_other_categories_are_no_choice():
    # The largest logit is of category 0, the largest of category 1 is right.
    metric = PartIoU(CATEGORY)
    metric.update_state(np.array([[2, 3]]), part_logits([[9, 8, 1, 0, 0], [9, 8, 0, 1, 0]]))
    assert float(metric.result()) == 1.0


def test_means_over_shapes_and_over_categories():
    # Two shapes of category 0 with scores 1 and 0, one of category 1 with 1.
    truths = [[[0, 1]], [[0, 1]], [[2, 3]]]
    guesses = [[[0, 1]], [[1, 0]], [[2, 3]]]
    by_class, by_instance = PartIoU(CATEGORY, average="class"), PartIoU(CATEGORY, average="instance")
    for truth, guess in zip(truths, guesses, strict=True):
        for metric in (by_class, by_instance):
            metric.update_state(np.array(truth), logits_of(guess, 5))
    assert (by_class.name, by_instance.name) == ("class_mean_iou", "instance_mean_iou")
    assert float(by_class.result()) == pytest.approx((0.5 + 1) / 2)
    assert float(by_instance.result()) == pytest.approx(2 / 3)


def test_padded_shapes_do_not_count():
    metric = PartIoU(CATEGORY)
    truth, guess = np.array([[0, 1], [2, 3], [-1, -1]]), logits_of([[0, 1], [4, 4], [0, 0]], 5)
    metric.update_state(truth, guess, np.array([True, False, True]))
    assert float(metric.result()) == 1.0
    assert np.asarray(metric.shapes).tolist() == [1, 0]


def test_config_round_trip_and_errors():
    copy = PartIoU.from_config(PartIoU(CATEGORY, average="instance").get_config())
    assert copy.part_category == list(CATEGORY) and copy.average == "instance"
    with pytest.raises(ValueError, match="average must be 'class' or 'instance'. Received: average='shape'"):
        PartIoU(CATEGORY, average="shape")
    with pytest.raises(ValueError, match="a value for each of the 5 parts"):
        PartIoU(CATEGORY).update_state(np.zeros((1, 2)), np.zeros((1, 2, 4)))
