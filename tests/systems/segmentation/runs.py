"""Small runs of dense prediction."""

from tfdlcv.config import load_text

DATA = {
    "shapes": "{name: shapes, image_size: [32, 32], radius: [6, 9], objects: [1, 2], train_examples: 24, "
    "validation_examples: 6, test_examples: 6}",
    "depth": "{name: scenes, target: depth, image_size: [32, 48], train_examples: 16, validation_examples: 4, "
    "test_examples: 4}",
    "normals": "{name: scenes, target: normals, image_size: [32, 48], train_examples: 16, validation_examples: 4, "
    "test_examples: 4}",
}
TEXT = """
system: segmentation/semantic
model: {name: unet, width: 0.0625}
data: DATA
loss: LOSS
optimizer: {name: adam, learning_rate: 0.002}
trainer: {epochs: 2, steps_per_epoch: 2, run_dir: RUN_DIR, batch_size: 8, tensorboard: {pictures_every_epochs: 0}}
"""


def config_of(run_dir, *overrides, data="shapes", loss=None):
    loss = loss or ("cross_entropy" if data == "shapes" else data)
    text = TEXT.replace("DATA", DATA[data]).replace("LOSS", f"{{name: {loss}}}").replace("RUN_DIR", str(run_dir))
    return load_text(text, overrides)
