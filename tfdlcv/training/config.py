"""The `trainer` section that every system's config shares. Imports neither TensorFlow nor Keras."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section


class CheckpointsConfig(Section):
    """Which checkpoints are written, and which of them are kept."""

    keep_last: int = Field(2, ge=1, description="How many of the newest checkpoints stay on disk, besides the best.")
    every_steps: int | None = Field(None, ge=1, description="Also save inside an epoch, every so many steps.")
    monitor: str = Field("val_loss", description="The column of history.csv that decides which checkpoint is best.")
    mode: Literal["min", "max"] = Field("min", description="Whether the best value of `monitor` is the smallest.")


class TensorBoardConfig(Section):
    """What goes to TensorBoard besides the scalars of each epoch, the graph, the config and the pictures."""

    every_steps: int = Field(20, ge=1, description="Steps between two points of the step-level scalars.")
    pictures_every_epochs: int = Field(1, ge=0, description="Epochs between two sets of pictures; 0 draws none.")
    histograms_every_epochs: int = Field(0, ge=0, description="Epochs between two weight histograms; 0 writes none.")
    profile_steps: tuple[int, int] | None = Field(None, description="First and last global step of a profiler trace.")

    @model_validator(mode="after")
    def _profile_steps_in_order(self):
        if self.profile_steps is not None and not 0 < self.profile_steps[0] <= self.profile_steps[1]:
            raise ValueError(f"profile_steps must be two steps with 0 < first <= last, not {list(self.profile_steps)}")
        return self


class TrainerConfig(Section):
    """How a task is trained: for how long, where, in which precision, and what is kept of it."""

    epochs: int = Field(ge=1)
    run_dir: str = Field(min_length=1, description="Folder of the run; a run found there unfinished is resumed.")
    batch_size: int = Field(ge=1, description="Examples per step over all devices and machines together.")
    evaluation_batch_size: int | None = Field(None, ge=1, description="Default: batch_size.")
    steps_per_epoch: int | None = Field(None, ge=1, description="Default: one pass over the training examples.")
    seed: int = Field(0, ge=0, lt=2**31)
    strategy: Literal["one_device", "mirrored", "multi_worker_mirrored"] = "mirrored"
    virtual_devices: int = Field(1, ge=1, le=64, description="Split the CPU into so many logical devices.")
    xla: Literal["auto", "on", "off"] = Field("auto", description="auto: on for GPU and TPU, off on CPU.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    deterministic: bool = Field(False, description="Bit-identical repeats, at some cost in speed.")
    steps_per_execution: int = Field(1, ge=1, description="Steps between two returns to Python.")
    accumulation_steps: int = Field(1, ge=1, description="Parts of a device's batch that are computed one by one.")
    ema_momentum: float | None = Field(None, gt=0, lt=1, description="Average the weights, and evaluate the average.")
    early_stopping_epochs: int | None = Field(None, ge=1, description="Stop after so many epochs without a new best.")
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    tensorboard: TensorBoardConfig = TensorBoardConfig()

    @model_validator(mode="after")
    def _virtual_devices_need_mirrored(self):
        if self.virtual_devices > 1 and self.strategy != "mirrored":
            raise ValueError(
                f"virtual_devices ({self.virtual_devices}) > 1 needs strategy mirrored, not strategy {self.strategy}"
            )
        if self.virtual_devices > 1 and self.batch_size % (self.virtual_devices * self.accumulation_steps):
            raise ValueError(
                f"batch_size ({self.batch_size}) must be divisible by virtual_devices ({self.virtual_devices}) times "
                f"accumulation_steps ({self.accumulation_steps})"
            )
        if self.batch_size % self.accumulation_steps:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be divisible by accumulation_steps ({self.accumulation_steps})"
            )
        return self
