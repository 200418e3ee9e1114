"""Programs on Keras's JAX backend, in processes of their own that never import TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    # Most of such a test is compilation, of programs that run once: plain machine code halves it.
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}


def assert_same_numbers(program: str, *arguments) -> None:
    """Runs the program, which is to end by printing "same numbers", from the root of the repository."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | ENVIRONMENT,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "same numbers" in done.stdout, done.stderr[-3000:]
