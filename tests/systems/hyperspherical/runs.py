"""Small runs of the hyperspherical systems on 8 x 8 digits, of seconds."""

from tfdlcv.config import load_text

DATA = {
    "classifier": "{name: digits8x8}",
    "regressor": "{name: rotated_digits, source: digits8x8}",
    "joint": "{name: rotated_digits, source: digits8x8, degrees: [-45, 45]}",
    "retrieval": "{name: digits8x8}",
}
LOSS = {
    "classifier": "{name: prototypes, dimensions: 3}",
    "regressor": "{name: poles, dimensions: 2}",
    "joint": "{name: hyperspherical, classes: {name: prototypes, dimensions: 5}}",
    "retrieval": "{name: triplet, dimensions: 3}",
}


def tiny_config(system, run_dir, *overrides):
    text = f"""
system: hyperspherical/{system}
model: {{name: mlp, hidden_units: [128]}}
data: {DATA[system]}
loss: {LOSS[system]}
optimizer: {{name: adam, learning_rate: 0.01}}
trainer: {{epochs: 16, run_dir: "{run_dir}", batch_size: 64, tensorboard: {{pictures_every_epochs: 0}}}}
"""
    return load_text(text, overrides)
