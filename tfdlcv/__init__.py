"""Training, evaluation and serving of computer-vision networks on TensorFlow and Keras 3."""

__version__ = "0.1.0"
