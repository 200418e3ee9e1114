"""Small runs for the tests: a config of seconds, in this process or in others as a user starts them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tfdlcv.config import load_text

TINY = """
system: classification/image_classifier
model: {name: mlp, hidden_units: [32], dropout: 0.1}
data: {name: digits8x8, augmentation: {translation: 0.1}}
loss: {name: cross_entropy}
optimizer: {name: adam, learning_rate: {name: cosine, peak: 0.01, warmup_epochs: 0.5}}
trainer: {epochs: 3, run_dir: RUN_DIR, batch_size: 64, tensorboard: {pictures_every_epochs: 0}}
"""


def tiny_config(run_dir, *overrides):
    return load_text(TINY.replace("RUN_DIR", str(run_dir)), overrides)


def start(run_dir, *overrides, cluster=None, index=0, log=None):
    """`tfdlcv train` in a process of its own; `cluster`: addresses of the workers, of which this is number `index`."""
    path = Path(f"{run_dir}.yaml")
    path.write_text(TINY.replace("RUN_DIR", str(run_dir)))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if cluster:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": cluster}, "task": task})
    return subprocess.Popen(
        [sys.executable, "-m", "tfdlcv.cli", "train", str(path), *overrides],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=open(log, "w") if log else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, seconds=150):
    """Waits for the process to end. Returns (exit status, output)."""
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def wait_for_step(run_dir, step, process, seconds=120):
    """Waits until a checkpoint of at least `step` lies in the run folder."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        steps = [int(path.stem[5:]) for path in Path(run_dir, "checkpoints").glob("step_*.npz")]
        if steps and max(steps) >= step:
            return
        assert process.poll() is None, process.stdout.read() if process.stdout else "the process ended"
        time.sleep(0.02)
    raise TimeoutError(f"no checkpoint of step {step} after {seconds} s")


def free_addresses(count):
    """Loopback addresses whose ports were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses
