"""The public layers."""

from tfdlcv.layers.batch_normalization import BatchNormalization

__all__ = ["BatchNormalization"]
