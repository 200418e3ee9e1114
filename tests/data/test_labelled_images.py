import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from tfdlcv.data import labelled_images
from tfdlcv.data.labelled_images import LabelledImagesConfig
from tfdlcv.errors import UserError


def test_limits_exclude_each_other():
    with pytest.raises(ValidationError, match=r"set train_limit \(5\) or examples_per_class \(2\), not both"):
        LabelledImagesConfig(train_limit=5, examples_per_class=2)


@pytest.mark.parametrize(
    "values",
    [
        {"validation_fraction": 1.0},
        {"train_limit": 0},
        {"classes": ("a",)},
        {"examples_per_class": 0},
        {"examples_per_class": (2, 0)},
        {"examples_per_class": (2, 3, 4)},
    ],
)
def test_ranges(values):
    with pytest.raises(ValidationError):
        LabelledImagesConfig(**values)


def test_selected_classes_are_renumbered_in_the_given_order():
    names, new_number = labelled_images.selected_classes(("dog", 0), ("ant", "cat", "dog"))
    assert names == ("dog", "ant")
    assert new_number.tolist() == [1, -1, 0]
    names, new_number = labelled_images.selected_classes(None, ("ant", "cat"))
    assert names == ("ant", "cat")
    assert new_number.tolist() == [0, 1]


def test_selected_classes_errors():
    with pytest.raises(UserError, match="there is no class owl; classes are: ant, cat"):
        labelled_images.selected_classes(("ant", "owl"), ("ant", "cat"))
    with pytest.raises(UserError, match=r"there is no class number 2; classes are numbered 0\.\.1"):
        labelled_images.selected_classes(("ant", 2), ("ant", "cat"))
    with pytest.raises(UserError, match="names class cat twice"):
        labelled_images.selected_classes(("cat", 1), ("ant", "cat"))


def test_a_long_list_of_names_is_shortened():
    names = [str(number) for number in range(23)]
    assert labelled_images.listed(names).endswith("18, 19 and 3 more")
    assert labelled_images.listed(names[:20]).endswith("18, 19")


def test_array_split_gathers_by_index():
    images = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    split = labelled_images.array_split(images, np.array([4, 3, 2, 1, 0]), "example {}".format)
    batch = split.fetch(tf.constant([3, 0, 3], tf.int64))
    np.testing.assert_array_equal(batch["image"], images[[3, 0, 3]])
    assert batch["label"].numpy().tolist() == [1, 4, 1]
    assert (batch["image"].dtype, batch["label"].dtype) == (tf.uint8, tf.int32)
    assert split.num_examples == 5
    assert split.describe(2) == "example 2"


def test_array_split_keeps_the_images_out_of_the_graph():
    images = np.zeros((1000, 32, 32, 3), np.uint8)
    split = labelled_images.array_split(images, np.zeros(1000), str)
    graph = tf.function(split.fetch).get_concrete_function(tf.TensorSpec((8,), tf.int64)).graph
    assert graph.as_graph_def().ByteSize() < 10_000


def test_configs_are_checked_without_tensorflow():
    check = (
        "import sys; from tfdlcv.data import augmentation, digits, image_folder; "
        "digits.Mnist5k(name='mnist5k'); sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
