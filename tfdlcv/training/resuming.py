"""What ties a run to its folder: the config that it was begun with, its newest checkpoint and its best one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfdlcv.config import load_config, save_config, system_module
from tfdlcv.errors import UserError
from tfdlcv.training import checkpoints, strategies
from tfdlcv.training.checkpoints import Position
from tfdlcv.training.run_folder import RunFolder
from tfdlcv.training.task import Task

# What may change between a run and its resumption: where it lies, how the same steps are computed, what is watched, and
# how files are predicted afterwards.
_FREE_KEYS = re.compile(
    r"trainer\.(run_dir|strategy|virtual_devices|xla|steps_per_execution|tensorboard\..*"
    r"|checkpoints\.(every_steps|keep_last))|predict\..*"
)


def claim(folder: RunFolder, config):
    """Saves the config in a new run folder; in one that holds training, compares it first."""
    if folder.is_finished() or checkpoints.list_checkpoints(folder.checkpoints):
        earlier = load_config(folder.config)
        old, new = _flatten(earlier.model_dump()), _flatten(config.model_dump())
        changes = {
            key: f"{key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} here"
            for key in sorted(set(old) | set(new))
            if old.get(key, "absent") != new.get(key, "absent")
        }
        forbidden = [change for key, change in changes.items() if not _FREE_KEYS.fullmatch(key)]
        if forbidden:
            raise UserError(
                f"{folder.path} holds a run of another config. Choose another trainer.run_dir, or remove the folder. "
                f"Different: {'; '.join(forbidden)}"
            )
        if folder.is_finished():  # It was trained by the earlier config, wherever the folder lies by now.
            trainer = earlier.trainer.model_copy(update={"run_dir": config.trainer.run_dir})
            config = earlier.model_copy(update={"trainer": trainer})
        else:
            for change in (change for key, change in changes.items() if key != "trainer.run_dir"):
                print(f"Resumes with a changed {change}")
    save_config(config, folder.config)


def resume(task: Task, folder: RunFolder, is_chief: bool) -> Position:
    """Restores the newest readable checkpoint; without one, the run begins."""
    found = checkpoints.load_latest(folder.checkpoints)
    if found is None:
        task.begin()
        return Position(step=0, epoch=0)
    path, arrays, position = found
    checkpoints.assign(task.state(), arrays, path)
    task.resume_at(position.step, position.step_in_epoch)
    if is_chief and position.step_in_epoch == 0 and position.best_epoch == position.epoch:
        # Killed between the two writes, a run has left the best checkpoint of before.
        checkpoints.copy(path, folder.best)
    return position


def restore_best(task: Task, folder: RunFolder, is_chief: bool) -> Position:
    """Gives the networks the weights of the best epoch; where no such checkpoint can be read, those of the last."""
    try:
        arrays, best = checkpoints.load(folder.best)
    except checkpoints.DamagedCheckpointError as error:
        newest, arrays, best = checkpoints.load_latest(folder.checkpoints)
        if is_chief:
            print(f"There is no best checkpoint ({error}). The last epoch, {best.epoch}, takes its place.")
            checkpoints.copy(newest, folder.best)  # For `evaluate`, `predict` and `export`.
    _assign_networks(task, arrays, folder.best)
    return best


def load_run(run_dir: str | Path, overrides: Sequence[str] = ()):
    """-> (folder, config, system module, task with the weights of the best checkpoint, facts of the data set)."""
    folder = RunFolder(run_dir)
    folder.require()
    config = load_config(folder.config, overrides)
    system = system_module(config.system)
    facts = json.loads(folder.facts.read_text()) if folder.facts.is_file() else None
    if facts is None:
        raise UserError(f"{folder.path} has no dataset.json: its training has not begun")
    with strategies.process_settings(config.trainer):
        task = system.build_task(config, facts)
    load_best_weights(task, folder)
    return folder, config, system, task, facts


def load_best_weights(task: Task, folder: RunFolder):
    """Gives the networks the weights of the best epoch, averaged ones where they are kept; UserError without them."""
    if not folder.best.is_file():
        raise UserError(f"{folder.path} has no checkpoint yet: {folder.best} is missing")
    try:
        arrays, _ = checkpoints.load(folder.best)
    except checkpoints.DamagedCheckpointError as error:
        raise UserError(f"damaged checkpoint: {error}") from None
    _assign_networks(task, arrays, folder.best)


def _assign_networks(task: Task, arrays, source: Path):
    """Weights of the networks and their averages, from a checkpoint; then the averages take the weights' place."""
    prefixes = (*(f"{name}/" for name in task.networks), "average/")
    variables = {name: variable for name, variable in task.state().items() if name.startswith(prefixes)}
    checkpoints.assign(variables, {n: a for n, a in arrays.items() if n.startswith(prefixes)}, source)
    task.assign_average()


def _flatten(content, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix[:-1]: content}
    return {key: value for name, part in content.items() for key, value in _flatten(part, f"{prefix}{name}.").items()}
