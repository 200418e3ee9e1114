"""The command `tfdlcv`: train, evaluate, predict, export, systems, schema.

What a command needs is imported inside it, so that `--help` answers at once and a fault in a config is told before
TensorFlow is loaded. Exit status: 0 done, 1 failed during the run, 2 cannot start as given, 130 interrupted.
"""

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tfdlcv import __version__
from tfdlcv.errors import UsageError, UserError

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it.

app = typer.Typer(
    help="Train, evaluate and serve computer-vision networks on TensorFlow and Keras 3, each run from one YAML file.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Importing rich would double the time that --help takes.
)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="SECTION.KEY=VALUE", help="Values set over those of the file.", show_default=False),
]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Folder of a run, such as saved_models/resnet20_mnist5k.", show_default=False),
]


class Split(StrEnum):
    """Part of the data that is evaluated."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class OnError(StrEnum):
    """What happens to a file that cannot be read."""

    SKIP = "skip"
    STOP = "stop"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits; `arguments` default to those of the process."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="tfdlcv")
    except UserError as error:
        typer.echo(error, err=True)
        sys.exit(error.exit_status)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tfdlcv {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the run.", show_default=False)],
    overrides: Overrides = None,
) -> None:
    """Train, evaluate and export what CONFIG describes.

    A run folder that holds an unfinished run is resumed. Values of the file are set from the command line:

    tfdlcv train CONFIG trainer.epochs=2 trainer.run_dir=saved_models/short
    """
    from tfdlcv.config import load_config

    overrides = overrides or []
    settings = load_config(config, overrides)
    again = shlex.join(["tfdlcv", "train", str(config), *overrides])
    with _tensorflow(f"Interrupted. To resume from the last checkpoint, run it again:\n  {again}"):
        from tfdlcv.training import run

        run.train(settings)


@app.command()
def evaluate(
    run_dir: Run,
    overrides: Overrides = None,
    split: Annotated[Split, typer.Option(help="Part of the data.")] = Split.TEST,
) -> None:
    """Evaluate the best checkpoint of a run."""
    overrides = overrides or []
    _run_config(run_dir, overrides)
    with _tensorflow("Interrupted."):
        from tfdlcv.training import run

        metrics = run.evaluate(run_dir, split=split.value, overrides=overrides)
    width = max((len(name) for name in metrics), default=0)
    for name, value in metrics.items():
        typer.echo(f"{name:{width}}  {value:.6g}")


@app.command()
def predict(
    run_dir: Run,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Image files, or folders of them.", show_default=False)
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder for what is written; by default one inside the run.", show_default=False)
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="What happens to a file that cannot be read.")] = OnError.STOP,
) -> None:
    """Predict on image files.

    Writes the predictions as CSV and JSON, and a picture of them.
    """
    _run_config(run_dir)
    missing = [path for path in images if not path.exists()]
    if missing and on_error is OnError.STOP:
        raise UsageError("\n".join(f"{path}: no such file" for path in missing))
    with _tensorflow("Interrupted."):
        from tfdlcv.training import run

        run.predict(run_dir, images, output, on_error.value)
    typer.echo(f"Predictions are in {output or run_dir / 'predictions'}")


@app.command()
def export(
    run_dir: Run,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of the numbered versions; by default export inside the run.", show_default=False),
    ] = None,
) -> None:
    """Export a run as a SavedModel.

    The best checkpoint becomes the next numbered version, in the layout of TensorFlow Serving.
    """
    _run_config(run_dir)
    with _tensorflow("Interrupted."):
        from tfdlcv.training import run

        version = run.export(run_dir, output)
    typer.echo(f"SavedModel: {version}")


@app.command()
def systems() -> None:
    """List the systems that a config can name."""
    from tfdlcv.config import list_systems

    found = list_systems()
    width = max((len(name) for name, _ in found), default=0)
    for name, summary in found:
        typer.echo(f"{name:{width}}  {summary}".rstrip())


@app.command()
def schema(
    system: Annotated[
        str, typer.Argument(metavar="SYSTEM", help="Such as classification/image_classifier.", show_default=False)
    ],
) -> None:
    """Print the JSON Schema of a system's config.

    Editors complete and check a config from it. Those with a YAML language server find it by a line of the config:

    # yaml-language-server: $schema=PATH
    """
    from tfdlcv.config import ConfigError, json_schema

    try:
        typer.echo(json.dumps(json_schema(system), indent=2))
    except ConfigError as error:
        raise UsageError("\n".join(f"SYSTEM: {fault}" for fault in error.faults)) from None


def _run_config(run_dir: Path, overrides: Sequence[str] = ()) -> Any:
    """Checks that `run_dir` holds a run whose config is sound with `overrides`."""
    from tfdlcv.config import load_config

    config_path = run_dir / "config.yaml"
    if not run_dir.is_dir():
        known = Path("saved_models") / run_dir
        hint = f"; did you mean `{known}`?" if (known / "config.yaml").is_file() else ""
        raise UsageError(f"{run_dir}: no such run folder{hint}")
    if not config_path.is_file():
        raise UsageError(f"{run_dir}: not the folder of a run: it holds no config.yaml")
    return load_config(config_path, overrides)


@contextlib.contextmanager
def _tensorflow(interrupted: str) -> Iterator[None]:
    """Surroundings of a command that uses TensorFlow; `interrupted` is what Ctrl-C prints."""
    from tfdlcv.quiet_import import import_tensorflow

    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(f"the environment variable KERAS_BACKEND is {backend}; this command needs tensorflow")
    try:
        import_tensorflow()
        yield
    except KeyboardInterrupt:
        typer.echo(f"\n{interrupted}", err=True)
        raise typer.Exit(_INTERRUPTED) from None


if __name__ == "__main__":
    main()
