"""What is looked at in a finished run: what its network sees in images, and the loss around its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfdlcv.errors import UserError
from tfdlcv.training import loss_surface, resuming, strategies

if TYPE_CHECKING:
    from tfdlcv.systems.image_explanations import Request


def explain(run_dir: str | Path, request: Request) -> dict[str, Path]:
    """Pictures of what the best checkpoint's network sees, by name; see `tfdlcv.systems.image_explanations`."""
    _, config, system, task, facts = resuming.load_run(run_dir)
    if not hasattr(system, "explain"):
        raise UserError(f"{run_dir} is a run of {config.system}, whose networks do not classify images")
    with strategies.process_settings(config.trainer):
        return system.explain(config, facts, task, request)


def landscape(
    run_dir: str | Path, directory: Path, *, points: int = 15, examples: int = 500, radius: float = 1.0, seed: int = 0
) -> dict[str, Path]:
    """landscape.png and landscape.npz of the loss around the best checkpoint's weights, by name.

    Args:
        directory: Where they go.
        points: On each side of the square, odd.
        examples: Of the training data, evenly spread, without augmentation.
        radius: Half the square's side, in units of the weights' own length.
        seed: Of the two directions.
    """
    from tfdlcv.visualization.loss_landscape import draw_loss_landscape
    from tfdlcv.visualization.pictures import save_png

    # The steps between neighbouring points are often smaller than the rounding of bfloat16.
    _, config, system, task, _ = resuming.load_run(run_dir, ["trainer.precision=float32"])
    if len(task.players) > 1:
        raise UserError(f"{run_dir} is a run of {config.system}, whose networks have no loss in common")
    with strategies.process_settings(config.trainer):
        split = system.build_datasets(config).train
        surface = loss_surface.loss_surface(
            task,
            split,
            points=points,
            examples=examples,
            radius=radius,
            seed=seed,
            batch_size=config.trainer.batch_size,
        )
    picture = draw_loss_landscape(surface.steps, surface.losses, title=_title(run_dir, surface.num_examples))
    return {
        "landscape": save_png(picture, directory / "landscape.png"),
        "numbers": loss_surface.save(surface, directory / "landscape.npz"),
    }


def _title(run_dir: str | Path, num_examples: int) -> str:
    return f"{Path(run_dir).resolve().name}: loss of {num_examples} training examples around the trained weights"


def optimizer_paths(directory: Path) -> dict[str, Path]:
    """optimizer_paths.png and optimizer_paths.gif of `tfdlcv.visualization.optimizer_paths.SURFACES`, by name."""
    from tfdlcv.visualization import optimizer_paths, optimizer_pictures
    from tfdlcv.visualization.pictures import save_png

    surfaces = optimizer_paths.SURFACES
    paths = {title: optimizer_paths.optimizer_paths(surface) for title, surface in surfaces.items()}
    picture = optimizer_pictures.draw_optimizer_paths(surfaces, paths)
    animation = directory / "optimizer_paths.gif"
    return {
        "picture": save_png(picture, directory / "optimizer_paths.png"),
        "animation": optimizer_pictures.animate_optimizer_paths(surfaces, paths, animation),
    }
