"""Every YAML file of configs/: that it is sound, and that it reads as the others do."""

from pathlib import Path

import pytest

from tfdlcv import config, config_yaml

REPOSITORY = Path(__file__).parent.parent
FILES = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").rglob("*.y*ml"))
SECTIONS = ["system", "model", "data", "loss", "optimizer", "trainer"]


def text(path: Path) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def test_every_system_has_a_config():
    named = {config_yaml.read(text(path)).value["system"] for path in FILES}
    assert named == {name for name, _ in config.list_systems()}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_it_is_sound(path):
    loaded = config.load_config(REPOSITORY / path)
    area = loaded.system.partition("/")[0]
    assert path.parent == Path("configs", area)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_it_opens_with_its_command_and_keeps_the_order_of_sections(path):
    lines = text(path).splitlines()
    opening = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    commands = (f" tfdlcv train {path}", f" python train.py {path}")
    assert any(command in line for line in opening for command in commands)
    sections = list(config_yaml.read(text(path)).value)
    shared = [name for name in SECTIONS if name in sections]
    assert sections[: len(shared)] == shared  # A system's own sections stand behind them.
    assert len(lines) <= 60
