"""A config with every kind of field, for the tests of configs."""

from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field, model_validator

from tfdlcv.config import ConfigError, Section, load_text


class Mlp(Section):
    name: Literal["mlp"] = "mlp"
    hidden_units: tuple[Annotated[int, Field(ge=1)], ...] = (128,)
    dropout: float = Field(0.0, ge=0, lt=1)
    scales: dict[int, float] = Field(default={})


class Resnet(Section):
    name: Literal["resnet"] = "resnet"
    depth: Literal[20, 32, 56]
    filters: int = Field(16, ge=1)


class Constant(Section):
    name: Literal["constant"] = "constant"


class Cosine(Section):
    name: Literal["cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] | None = None


def _schedule_of_number(value):
    return {"name": "cosine", "warmup_steps": value} if isinstance(value, int) else value


class Optimizer(Section):
    name: Literal["sgd"] = "sgd"
    learning_rate: float = Field(gt=0)
    """Size of a step."""
    schedule: Annotated[Constant | Cosine, Field(discriminator="name")] = Constant()
    warmup: Annotated[Constant | Cosine, Field(discriminator="name"), BeforeValidator(_schedule_of_number)] = Constant()
    clip_norm: Annotated[float, Field(gt=0)] | None = None


class Data(Section):
    batch_size: int = Field(ge=1)
    title: str = Field("digits", min_length=1, pattern=r"^\S*$")
    steps: list[Annotated[Mlp | Resnet, Field(discriminator="name")]] = Field(default=[])
    class_weights: dict[int, float] | None = None
    crop: float | tuple[float, float] = 1.0
    size: tuple[int, int] = (32, 32)
    span: tuple[int, float] = (0, 1.0)
    shuffle: bool = True
    order: Literal["on", "off", "yes", "no"] = "on"


class Trainer(Section):
    epochs: int = Field(1, ge=1)
    warmup_epochs: int = 0

    @model_validator(mode="after")
    def _warmup_within_epochs(self):
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be at most epochs ({self.epochs})")
        return self


class Config(Section):
    system: Literal["toy/toy"]
    model: Annotated[Mlp | Resnet, Field(discriminator="name")]
    data: Data
    optimizer: Optimizer
    teacher: Annotated[Mlp | Resnet, Field(discriminator="name")] | None = None
    trainer: Trainer = Trainer()

    @model_validator(mode="after")
    def _teacher_no_deeper(self):
        if isinstance(self.model, Resnet) and isinstance(self.teacher, Resnet) and self.teacher.depth > 32:
            raise ValueError(f"teacher.depth ({self.teacher.depth}) must be at most 32 for model.name resnet")
        return self


VALID = """\
system: toy/toy
model: {name: resnet, depth: 20}
data:
  batch_size: 8
optimizer:
  learning_rate: 1e-3
"""


def load(text: str, *overrides: str) -> Config:
    return load_text(text, overrides, source="run.yaml", config_class=Config)


def faults(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    assert str(caught.value) == "\n".join(caught.value.faults)
    assert all("\n" not in fault for fault in caught.value.faults)
    return caught.value.faults
