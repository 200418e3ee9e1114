"""Where a run computes: one device, every local device, or several machines; and the process-wide settings of a run."""

from __future__ import annotations

import contextlib
import functools
import json
import os

import keras
import tensorflow as tf

from tfdlcv.errors import UserError
from tfdlcv.training.config import TrainerConfig

# How long the workers of a cluster wait for a dead one, in seconds: 3 failed probes of 10 s each, one every 10 s.
# TensorFlow's default is a probe every 30 s. A closed connection is noticed at once; this is for a silent machine.
_HEALTH_CHECK_SECONDS = 10


@contextlib.contextmanager
def process_settings(trainer: TrainerConfig):
    """Sets seed, precision and determinism for the process, and puts precision back at the end."""
    keras.utils.set_random_seed(trainer.seed)
    if trainer.deterministic:
        tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(trainer.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def build_strategy(trainer: TrainerConfig) -> tf.distribute.Strategy:
    """The strategy of the config. A mirrored one over a single device is TensorFlow's default, which costs nothing."""
    if trainer.strategy == "multi_worker_mirrored":
        return _multi_worker()
    if trainer.strategy == "one_device":
        return tf.distribute.get_strategy()
    devices = _split_cpu(trainer.virtual_devices) if trainer.virtual_devices > 1 else _accelerators()
    return _mirrored(tuple(devices)) if len(devices) > 1 else tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One strategy for the same devices in a process: each new one would number its collective operations from the
    start, and TensorFlow mistakes them for the earlier ones of the same number ("Shape mismatch in the collective")."""
    return tf.distribute.MirroredStrategy(devices)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_type == "worker" and resolver.task_id == 0)


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """How many processes train together."""
    resolver = strategy.cluster_resolver
    if resolver is None:
        return 1
    spec = resolver.cluster_spec().as_dict()
    return max(1, len(spec.get("worker", ())) + len(spec.get("chief", ())))


def use_xla(trainer: TrainerConfig) -> bool:
    """Whether the pure step is compiled. On CPU, XLA passes oneDNN by and halves the speed of convolutions."""
    return trainer.xla == "on" or (trainer.xla == "auto" and bool(_accelerators()))


def _accelerators() -> list[str]:
    return [d.name for kind in ("GPU", "TPU") for d in tf.config.list_logical_devices(kind)]


def _split_cpu(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu)
    if configured is None or len(configured) < count:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError:
            raise UserError(
                f"trainer.virtual_devices ({count}): TensorFlow has already started with "
                f"{len(tf.config.list_logical_devices('CPU'))} logical CPU device(s) in this process"
            ) from None
    return [f"CPU:{index}" for index in range(count)]


def cluster_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """The cluster that TF_CONFIG or Slurm's variables describe."""
    if os.environ.get("TF_CONFIG"):
        _check_tf_config(os.environ["TF_CONFIG"])
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if os.environ.get("SLURM_STEP_NODELIST"):
        # The resolver lists one task for each GPU, and asks nvidia-smi for their number. Where there is none it is told
        # of more GPUs than a node can have tasks, and not to choose among them.
        no_gpu = {"gpus_per_node": 4096, "gpus_per_task": 1, "auto_set_gpu": False}
        options = {} if tf.config.list_physical_devices("GPU") else no_gpu
        return tf.distribute.cluster_resolver.SlurmClusterResolver(**options)
    raise UserError(
        "trainer.strategy multi_worker_mirrored needs a cluster: set TF_CONFIG on every machine, "
        "or start the workers as a Slurm step (srun). To evaluate its run on one machine: trainer.strategy=one_device"
    )


def _multi_worker() -> tf.distribute.Strategy:
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster_resolver())
    strategy.extended._check_health_interval = _HEALTH_CHECK_SECONDS  # TensorFlow has no public setting.
    return strategy


def _check_tf_config(text: str):
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
    try:
        parsed = json.loads(text)
        workers = parsed["cluster"].get("worker", [])
        kind, index = parsed["task"]["type"], int(parsed["task"]["index"])
        known = 0 <= index < len(parsed["cluster"][kind])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG cannot be read ({error!r}). Received: {text!r}. An example: {example}") from None
    if not workers or not known:
        raise UserError(f"TF_CONFIG: the cluster has no task {kind}:{index}. Received: {text!r}. An example: {example}")


def agree_on(strategy: tf.distribute.Strategy, value: int) -> bool:
    """Whether every worker passes the same value; also waits for all of them."""
    if num_workers(strategy) == 1:
        return True

    def differences(all_reduce_sum):
        own = tf.constant(value, tf.int64)
        return all_reduce_sum(tf.abs(all_reduce_sum(own) - own * strategy.num_replicas_in_sync))

    return _reduced(strategy, differences) == 0


def is_any(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Whether any worker passes True; also waits for all of them."""
    if num_workers(strategy) == 1:
        return flag
    return _reduced(strategy, lambda all_reduce_sum: all_reduce_sum(tf.constant(int(flag), tf.int64))) > 0


def _reduced(strategy: tf.distribute.Strategy, compute) -> int:
    """What `compute` (a function that adds up a tensor over all replicas) -> () int64 gives on every replica."""

    @tf.function(autograph=False)
    def run():
        def replica():
            context = tf.distribute.get_replica_context()
            return compute(lambda value: context.all_reduce(tf.distribute.ReduceOp.SUM, value))

        return strategy.experimental_local_results(strategy.run(replica))[0]

    return int(run())
