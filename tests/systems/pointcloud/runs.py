"""Small runs of the point-cloud systems."""

from tfdlcv.config import load_text

SYSTEMS = {
    "classifier": (
        "system: pointcloud/classifier\n"
        "model: {name: flex_classifier, filters: [6, 8], neighbors: 5, hidden_units: 8}\n"
        "data: {name: primitives, points: 64, train_examples: 24, validation_examples: 10, test_examples: 10}\n"
    ),
    "segmenter": (
        "system: pointcloud/segmenter\n"
        "model: {name: flex_unet, filters: [6, 8], neighbors: 5}\n"
        "data: {name: rooms, points: 128, train_examples: 24, validation_examples: 5, test_examples: 5}\n"
    ),
}
TRAINER = (
    "optimizer: {name: adam, learning_rate: 0.003}\n"
    "trainer: {epochs: 2, steps_per_epoch: 3, run_dir: RUN_DIR, batch_size: 8,\n"
    "  tensorboard: {pictures_every_epochs: PICTURES}}\n"
)


def config_of(name, run_dir, *overrides, pictures=0):
    text = SYSTEMS[name] + TRAINER
    return load_text(text.replace("RUN_DIR", str(run_dir)).replace("PICTURES", str(pictures)), overrides)
