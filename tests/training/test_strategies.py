"""Where a run computes, and the messages about clusters that are described wrongly."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs import tiny_config
from tfdlcv.errors import UserError
from tfdlcv.training import strategies


def trainer(tmp_path, **values):
    return tiny_config(tmp_path, *(f"trainer.{name}={value}" for name, value in values.items())).trainer


def test_one_device_and_a_mirror_over_one_device_are_tensorflows_default(tmp_path):
    for strategy in ("one_device", "mirrored"):
        assert strategies.build_strategy(trainer(tmp_path, strategy=strategy)) is tf.distribute.get_strategy()


def test_virtual_devices_mirror_the_cpu(tmp_path):
    strategy = strategies.build_strategy(trainer(tmp_path, virtual_devices=2))
    assert strategy.num_replicas_in_sync == 2
    assert strategies.build_strategy(trainer(tmp_path, virtual_devices=2)) is strategy
    assert strategies.is_chief(strategy) and strategies.num_workers(strategy) == 1


def test_more_virtual_devices_than_the_process_was_started_with(tmp_path):
    tf.config.list_logical_devices()
    with pytest.raises(UserError, match=r"virtual_devices \(4\): TensorFlow has already started with 2 logical CPU"):
        strategies.build_strategy(trainer(tmp_path, virtual_devices=4))


def test_xla_is_off_on_cpu_unless_asked_for(tmp_path):
    wanted = {"auto": bool(tf.config.list_physical_devices("GPU")), "on": True, "off": False}
    for value, expected in wanted.items():
        assert strategies.use_xla(trainer(tmp_path, xla=value)) is expected


def test_process_settings_seed_and_restore_precision(tmp_path):
    settings = trainer(tmp_path, precision="mixed_bfloat16", seed=4)
    draws = []
    for _ in range(2):
        with strategies.process_settings(settings):
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
            draws.append((np.random.rand(), float(keras.random.uniform(()))))
    assert draws[0] == draws[1]
    assert keras.config.dtype_policy().name == "float32"


@pytest.fixture
def multi_worker(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NODELIST", raising=False)
    return trainer(tmp_path, strategy="multi_worker_mirrored")


def test_a_cluster_that_is_not_described(multi_worker):
    message = "set TF_CONFIG on every machine, or start the workers as a Slurm step.* trainer.strategy=one_device"
    with pytest.raises(UserError, match=message):
        strategies.build_strategy(multi_worker)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "TF_CONFIG cannot be read"),
        ("{}", r"TF_CONFIG cannot be read \(KeyError\('cluster'\)\)"),
        (
            json.dumps({"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 3}}),
            "the cluster has no task worker:3",
        ),
        (
            json.dumps({"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "ps", "index": 0}}),
            r"TF_CONFIG cannot be read \(KeyError\('ps'\)\)",
        ),
    ],
)
def test_a_cluster_that_is_described_wrongly(multi_worker, monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=message):
        strategies.build_strategy(multi_worker)


def test_slurm_names_the_workers_of_a_step(multi_worker, monkeypatch):
    for name, value in {
        "SLURM_PROCID": "2",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[07-08]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    }.items():
        monkeypatch.setenv(name, value)
    resolver = strategies.cluster_resolver()
    assert resolver.cluster_spec().as_dict()["worker"] == ["node07:8888", "node07:8889", "node08:8888", "node08:8889"]
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)


@pytest.mark.parametrize(
    "jobs, kind, index, chief",
    [
        ({"worker": ["a:1", "b:1"]}, "worker", 0, True),
        ({"worker": ["a:1", "b:1"]}, "worker", 1, False),
        ({"chief": ["c:1"], "worker": ["a:1"]}, "chief", 0, True),
        ({"chief": ["c:1"], "worker": ["a:1"]}, "worker", 0, False),
    ],
)
def test_who_is_chief(jobs, kind, index, chief):
    spec = tf.train.ClusterSpec(jobs)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type=kind, task_id=index)
    strategy = type("Strategy", (), {"cluster_resolver": resolver})()
    assert strategies.is_chief(strategy) is chief
    assert strategies.num_workers(strategy) == 2
