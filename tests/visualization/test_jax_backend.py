"""The pictures of networks have the same numbers on Keras's JAX backend."""

import importlib.util

import numpy as np
import pytest

from tests.jax_process import assert_same_numbers
from tests.visualization.networks import images, pooled
from tfdlcv.visualization import grad_cam, saliency
from tfdlcv.visualization.strongest_responses import strongest_responses

SCRIPT = """
import sys
import numpy as np
from tests.visualization.networks import pooled
from tfdlcv.visualization import grad_cam, saliency
from tfdlcv.visualization.strongest_responses import strongest_responses

network = pooled()
arrays = np.load(sys.argv[1])
network.set_weights([arrays[f"weight{i}"] for i in range(len(network.weights))])
found = {
    "saliency": saliency.saliency(network, arrays["x"]),
    "guided": saliency.guided_backpropagation(network, arrays["x"]),
    "deconvnet": saliency.deconvnet(network, arrays["x"]),
    "grad_cam": grad_cam.grad_cam(network, arrays["x"]),
    "pixels": strongest_responses(network, arrays["x"])[0][0].pixels,
}
for name, values in found.items():
    np.testing.assert_allclose(values, arrays[name], rtol=1e-3, atol=1e-5, err_msg=name)
print("same numbers")
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax, of the dev extra, is not installed")
def test_pictures_have_the_same_numbers(tmp_path):
    network = pooled()
    x = images(network, 2)
    arrays = {
        "x": x,
        "saliency": saliency.saliency(network, x),
        "guided": saliency.guided_backpropagation(network, x),
        "deconvnet": saliency.deconvnet(network, x),
        "grad_cam": grad_cam.grad_cam(network, x),
        "pixels": strongest_responses(network, x)[0][0].pixels,
    }
    assert all(values.any() for values in arrays.values())
    arrays |= {f"weight{i}": weight for i, weight in enumerate(network.get_weights())}
    np.savez(tmp_path / "arrays.npz", **arrays)
    assert_same_numbers(SCRIPT, tmp_path / "arrays.npz")
