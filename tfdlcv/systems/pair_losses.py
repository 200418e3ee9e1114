"""Losses that compare the embeddings of a batch with each other: the `loss` sections, and what they build.

Keras is imported when something is built, not before, so that configs can be checked without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tfdlcv.config import Section

if TYPE_CHECKING:
    import keras

Dimensions = Annotated[int, Field(ge=1)]


class TripletConfig(Section):
    """An example is nearer to those of its class than to others, by a margin (Schroff et al. 2015, FaceNet)."""

    name: Literal["triplet"]
    dimensions: Dimensions
    """Of the embedding: the network's outputs."""
    mining: Literal["batch_all", "semi_hard", "hard"] = "semi_hard"
    """Which triplets of a batch count."""
    margin: float = Field(0.2, ge=0)
    """In units of the distance; FaceNet: 0.2."""
    distance: Literal["euclidean", "squared_euclidean", "cosine"] = "squared_euclidean"
    normalize: bool = True
    """Compare directions alone; the cosine always does."""


class ContrastiveConfig(Section):
    """Examples of a class are pulled together, others pushed apart up to a margin (Hadsell et al. 2006)."""

    name: Literal["contrastive"]
    dimensions: Dimensions
    """Of the embedding: the network's outputs."""
    margin: float = Field(1.0, gt=0)
    """Distance beyond which two classes are far enough apart."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    normalize: bool = True
    """Compare directions alone; the cosine always does."""


class NPairConfig(Section):
    """Softmax over the products with one example of the same class and all of others (Sohn 2016)."""

    name: Literal["n_pair"]
    dimensions: Dimensions
    """Of the embedding: the network's outputs."""
    length_weight: float = Field(0.0, ge=0)
    """Of the embeddings' mean squared length, which the products would otherwise let grow."""


PairLossConfig = Annotated[TripletConfig | ContrastiveConfig | NPairConfig, Field(discriminator="name")]


def build_pair_loss(config: PairLossConfig) -> keras.losses.Loss:
    """The loss that `config` names, of class ids (B,) and embeddings (B, d)."""
    from tfdlcv import losses

    match config:
        case TripletConfig():
            return losses.TripletLoss(
                config.mining, margin=config.margin, distance=config.distance, normalize=config.normalize
            )
        case ContrastiveConfig():
            return losses.ContrastiveLoss(margin=config.margin, distance=config.distance, normalize=config.normalize)
        case NPairConfig():
            return losses.NPairLoss(length_weight=config.length_weight)
