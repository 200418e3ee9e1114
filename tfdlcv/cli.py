"""The command `tfdlcv`: train, evaluate, predict, features, explain, landscape, export, systems,
schema.

What a command needs is imported inside it, so that `--help` answers at once and a fault in a config is told before
TensorFlow is loaded. Exit status: 0 done, 1 failed during the run, 2 cannot start as given, 130 interrupted.
"""

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
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
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILES",
        help="What the run's system reads: image files or folders of them, sequences (.npy, .csv), texts.",
        show_default=False,
    ),
]
Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGES", help="Image files, or folders of them.", show_default=False)
]


class Split(StrEnum):
    """Part of the data that is evaluated."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Method(StrEnum):
    """What shows what a network sees; `tfdlcv.systems.image_explanations.METHODS`."""

    SALIENCY = "saliency"
    GUIDED_BACKPROPAGATION = "guided_backpropagation"
    DECONVNET = "deconvnet"
    GRAD_CAM = "grad_cam"
    GUIDED_GRAD_CAM = "guided_grad_cam"
    OCCLUSION = "occlusion"
    FILTERS = "filters"
    FEATURE_MAPS = "feature_maps"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"


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

        found = run.evaluate(run_dir, split=split.value, overrides=overrides)
    width = max((len(name) for name in found.scores), default=0)
    for name, value in found.scores.items():
        typer.echo(f"{name:{width}}  {value:.6g}")
    if found.class_table:
        typer.echo(f"\n{found.class_table}")


@app.command()
def predict(
    run_dir: Run,
    files: Files,
    output: Annotated[
        Path | None, typer.Option(help="Folder for what is written; by default one inside the run.", show_default=False)
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="What happens to a file that cannot be read.")] = OnError.STOP,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="A value set over that of the run's config.", show_default=False
        ),
    ] = None,
) -> None:
    """Predict on files: images, sequences or texts, as the run's system has it.

    Writes the predictions, and of images a picture of them. Systems with a section `predict` take its values here:

    tfdlcv predict RUN photographs --set predict.tile=512 --set predict.flip=true
    """
    settings = settings or []
    _run_config(run_dir, settings)
    _check_images(files, on_error)
    with _tensorflow("Interrupted."):
        from tfdlcv.training import run

        run.predict(run_dir, files, output, on_error.value, settings)
    typer.echo(f"Predictions are in {output or run_dir / 'predictions'}")


@app.command()
def features(
    run_dir: Run,
    images: Images,
    layer: Annotated[str, typer.Option(help="Name of a layer of the network, such as pool or fc7_relu.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The .npz file; by default features/LAYER.npz inside the run.", show_default=False),
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="What happens to a file that cannot be read.")] = OnError.STOP,
) -> None:
    """Write what a layer of the network makes of image files.

    The .npz file holds `features`, a row for each image, and `files`, their names.
    """
    _run_config(run_dir)
    _check_images(images, on_error)
    with _tensorflow("Interrupted."):
        from tfdlcv.training import run

        path = run.features(run_dir, images, layer, output, on_error.value)
    typer.echo(f"Features are in {path}")


@app.command()
def explain(
    run_dir: Run,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGES", help="Image files, or folders of them; without: examples of the run.", show_default=False
        ),
    ] = None,
    method: Annotated[
        list[Method] | None,
        typer.Option(help="One or more; by default all that the network allows.", show_default=False),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="For Grad-CAM, feature maps and responses; by default the last of maps.", show_default=False),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="By default each image's predicted class.", show_default=False)
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="How many, where no images are given.")] = 8,
    split: Annotated[Split, typer.Option(help="Part of the data that they are of.")] = Split.TEST,
    output: Annotated[
        Path | None, typer.Option(help="Folder for what is written; by default one inside the run.", show_default=False)
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="What happens to a file that cannot be read.")] = OnError.STOP,
) -> None:
    """Show what the network of a run sees in images.

    Saliency, guided backpropagation, deconvnet, Grad-CAM and occlusion of each image; filters of the first layer;
    feature maps; the strongest responses of a layer's maps; embeddings by t-SNE and for TensorBoard's projector.
    """
    _run_config(run_dir)
    _check_images(images or [], on_error)
    with _tensorflow("Interrupted."):
        from tfdlcv.systems.image_explanations import Request
        from tfdlcv.training import seeing

        request = Request(
            tuple(images or ()),
            output or run_dir / "explanations",
            examples=examples,
            split=split.value,
            methods=tuple(choice.value for choice in method or ()),
            layer=layer,
            class_name=class_name,
            on_error=on_error.value,
        )
        written = seeing.explain(run_dir, request)
    _print_written(written)


@app.command()
def landscape(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Folder of a run; without: the test functions.", show_default=False),
    ] = None,
    points: Annotated[int, typer.Option(min=3, help="On each side of the run's square, odd.")] = 15,
    examples: Annotated[int, typer.Option(min=1, help="Of the run's training data.")] = 500,
    radius: Annotated[float, typer.Option(help="Half the square's side, in lengths of the filters.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the two directions.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for what is written; by default landscape, inside the run.", show_default=False),
    ] = None,
) -> None:
    """Draw the loss around a run's weights; without RUN, optimizers on their way down test functions.

    Around the weights: along two random directions, scaled filter by filter. Without RUN: SGD, momentum, Nesterov,
    AdaGrad, AdaDelta, RMSProp and Adam on Beale's and Rosenbrock's functions and a saddle, as picture and animation.
    """
    if run_dir is not None:
        _run_config(run_dir)
        if points % 2 == 0:
            raise UsageError(f"--points ({points}) must be odd, so that the middle is the network itself")
        if radius <= 0:
            raise UsageError(f"--radius ({radius}) must be above 0")
    with _tensorflow("Interrupted."):
        from tfdlcv.training import seeing

        if run_dir is None:
            written = seeing.optimizer_paths(output or Path("landscape"))
        else:
            directory = output or run_dir / "landscape"
            options = {"points": points, "examples": examples, "radius": radius, "seed": seed}
            written = seeing.landscape(run_dir, directory, **options)
    _print_written(written)


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


def _print_written(paths: Mapping[str, Path]) -> None:
    width = max(map(len, paths), default=0)
    for name, path in paths.items():
        typer.echo(f"{name:{width}}  {path}")


def _check_images(images: Sequence[Path], on_error: OnError) -> None:
    missing = [path for path in images if not path.exists()]
    if missing and on_error is OnError.STOP:
        raise UsageError("\n".join(f"{path}: no such file" for path in missing))


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
