import numpy as np
import pytest

from tests.visualization.networks import images, linear, pooled
from tfdlcv import models
from tfdlcv.errors import UserError
from tfdlcv.visualization.feature_maps import feature_maps
from tfdlcv.visualization.grad_cam import enlarged, grad_cam, guided_grad_cam


def test_of_a_network_with_global_pooling_it_is_the_class_activation_map_over_the_positions():
    network = pooled(size=6)
    x = images(network)
    classes = [2, 0, 1]
    weights = network.get_layer("logits").get_weights()[0]  # (K, classes)
    activation_maps = np.einsum("nhwk,kn->nhw", feature_maps(network, x, "conv"), weights[:, classes])
    found = grad_cam(network, x, classes)
    np.testing.assert_allclose(found * 36, np.maximum(activation_maps, 0), rtol=1e-4, atol=1e-5)
    assert found.max() > 0


def test_the_rule_matters_behind_the_layer_alone():
    network = models.resnet_cifar((8, 8, 1), num_classes=3, depth=8)
    x = images(network, 2)
    last, inner = "stage3_unit1_relu2", "stage1_unit1_relu2"
    np.testing.assert_allclose(grad_cam(network, x, layer=last), grad_cam(network, x, layer=last, rule="guided"))
    assert not np.allclose(grad_cam(network, x, layer=inner), grad_cam(network, x, layer=inner, rule="guided"))
    assert grad_cam(network, x, layer=inner).shape == (2, 8, 8) and grad_cam(network, x).shape == (2, 2, 2)


def test_other_weights_give_other_maps():
    x = images(pooled())
    maps = [grad_cam(pooled(seed=seed), x, [0, 1, 2]).ravel() for seed in (0, 1)]
    assert np.corrcoef(*maps)[0, 1] < 0.9


def test_maps_are_enlarged_with_their_place():
    corner = np.zeros((1, 4, 4), "float32")
    corner[0, 0, 3] = 1
    large = enlarged(corner, (16, 16))[0]
    assert np.unravel_index(large.argmax(), large.shape)[0] < 3 and large[:, :8].max() == 0
    np.testing.assert_allclose(enlarged(np.full((1, 2, 2), 0.5), (6, 6)), 0.5)


def test_guided_grad_cam_is_the_product():
    guided = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype("float32")
    maps = np.zeros((2, 1, 1), "float32")
    maps[1] = 3
    np.testing.assert_allclose(guided_grad_cam(maps, guided), np.stack([0 * guided[0], 3 * guided[1]]))


def test_networks_without_maps_and_unknown_layers_are_told():
    with pytest.raises(UserError, match="linear has no layer of maps"):
        grad_cam(linear(np.ones((2, 2, 1, 2))), np.ones((1, 2, 2, 1)))
    with pytest.raises(UserError, match="pooled has no layer 'con'. Near: conv"):
        grad_cam(pooled(), images(pooled()), layer="con")
