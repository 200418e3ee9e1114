import keras
import numpy as np
import pytest

from tests.visualization.networks import images, linear, pooled
from tfdlcv import models
from tfdlcv.visualization import saliency
from tfdlcv.visualization.gradients import input_gradients, layer_gradients, scores
from tfdlcv.visualization.relu_rule import relu_rule

WEIGHTS = np.random.default_rng(0).normal(size=(4, 5, 3, 6)).astype("float32")


def test_the_saliency_of_a_linear_network_is_the_magnitude_of_its_weights():
    network = linear(WEIGHTS)
    found = saliency.saliency(network, images(network, 3), [5, 0, 2])
    expected = [np.abs(WEIGHTS[..., k]).max(axis=-1) for k in (5, 0, 2)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_classes_the_predicted_ones_are_explained():
    network = linear(WEIGHTS)
    x = images(network, 4)
    predicted = scores(network, x).argmax(axis=1)
    np.testing.assert_array_equal(saliency.saliency(network, x), saliency.saliency(network, x, predicted))


def test_more_images_than_a_batch_are_explained_in_order():
    network = pooled()
    x = images(network, 20)
    together = saliency.saliency(network, x, np.arange(20) % 3)
    alone = [saliency.saliency(network, x[i : i + 1], [i % 3])[0] for i in (0, 15, 16, 19)]
    np.testing.assert_allclose(together[[0, 15, 16, 19]], alone, rtol=1e-5, atol=1e-7)


def test_gradients_agree_with_finite_differences():
    network = pooled(relu="tanh")
    x = images(network, 1)
    found = input_gradients(relu_rule(network, "plain"), x, [1])[0]
    for place in ((0, 0, 0), (3, 4, 1), (7, 7, 2)):
        step = np.zeros_like(x)
        step[(0, *place)] = 1e-2
        slope = (scores(network, x + step)[0, 1] - scores(network, x - step)[0, 1]) / 2e-2
        assert found[place] == pytest.approx(slope, rel=1e-2, abs=1e-5)


def test_the_three_rules_draw_different_pictures():
    network = pooled()
    x, classes = images(network), [0, 1, 2]
    plain = input_gradients(relu_rule(network, "plain"), x, classes)
    guided = saliency.guided_backpropagation(network, x, classes)
    deconvnet = saliency.deconvnet(network, x, classes)
    assert guided.shape == deconvnet.shape == x.shape
    for one, other in ((plain, guided), (plain, deconvnet), (guided, deconvnet)):
        assert np.abs(one - other).max() > 0.1 * np.abs(one).max()


def test_without_max_pools_a_deconvnet_draws_the_same_for_every_image_and_with_them_not():
    network = pooled()
    found = saliency.deconvnet(network, images(network), [1, 1, 1])
    np.testing.assert_allclose(found[0], found[1], atol=1e-7)
    pooling = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.MaxPooling2D(), pooled(size=4)])
    found = saliency.deconvnet(pooling, images(pooling), [1, 1, 1])
    assert not np.allclose(found[0], found[1])


def test_other_weights_give_other_maps():
    """The sanity check of Adebayo et al. 2018: a map that does not depend on the weights explains nothing."""
    x = images(pooled())
    for explain in (saliency.saliency, saliency.guided_backpropagation, saliency.deconvnet):
        maps = [explain(pooled(seed=seed), x, [0, 1, 2]).ravel() for seed in (0, 1)]
        assert np.corrcoef(*maps)[0, 1] < 0.9


@pytest.mark.parametrize("block_order", ["original", "full_preact"])
def test_the_gradient_of_a_layer_beside_a_shortcut(block_order):
    """The branch's gradient passes the addition unchanged, whatever the shortcut: it equals that of the sum."""
    network = models.resnet_cifar((8, 8, 1), num_classes=3, depth=8, block_order=block_order)
    flat = relu_rule(network, "plain")
    x = images(network, 2)
    branch = "stage1_unit1_norm2" if block_order == "original" else "stage1_unit1_conv2"
    inside, by_branch = layer_gradients(flat, x, branch)
    total, by_sum = layer_gradients(flat, x, "stage1_unit1_add")
    np.testing.assert_allclose(by_branch, by_sum, atol=1e-7)
    assert np.abs(by_sum).max() > 0 and not np.allclose(inside, total)


def test_the_gradient_of_the_inputs_layer_is_that_of_the_image():
    network = relu_rule(pooled(), "plain")
    x = images(network)
    values, gradients = layer_gradients(network, x, "image", [0, 1, 2])
    np.testing.assert_array_equal(values, x)
    np.testing.assert_allclose(gradients, input_gradients(network, x, [0, 1, 2]), atol=1e-7)


def test_wrong_images_and_classes_name_their_values():
    network = linear(WEIGHTS)
    with pytest.raises(ValueError, match=r"images must be \(N, H, W, C\) .* shape=\(4, 5, 3\)"):
        saliency.saliency(network, np.zeros((4, 5, 3)))
    for classes in ([6], [-1], [0, 1]):
        with pytest.raises(ValueError, match=r"class_ids must be 1 numbers, .* in \[0, 6\). Received: \["):
            saliency.saliency(network, images(network, 1), classes)
