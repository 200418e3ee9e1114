"""How a network of the hyperspherical area says which class it sees: the `loss` sections, and what they build.

Keras is imported when something is built, not before, so that configs can be checked without it.

Shape legend: B examples, K classes, d dimensions of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import numpy as np

Dimensions = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(gt=0)]


class WordVectorSemantics(Section):
    """Classes are as alike as their word vectors."""

    name: Literal["word_vectors"]
    file: str = Field(min_length=1)
    """Text: one word a line, with its values behind it."""


class HierarchySemantics(Section):
    """Classes are as alike as the groups that they share."""

    name: Literal["hierarchy"]
    file: str = Field(min_length=1)
    """CSV without a header: a class, then its groups from the narrowest to the widest."""


SemanticsConfig = Annotated[WordVectorSemantics | HierarchySemantics, Field(discriminator="name")]


class PrototypesConfig(Section):
    """Prototypes that are as far from each other as can be; the network learns to point at them."""

    name: Literal["prototypes"]
    dimensions: Dimensions
    """Outputs of the network. From one less than the classes on, more make no difference."""
    method: Literal["auto", "annealed", "paper"] = "auto"
    """auto: the closed form, where there is one; annealed: this package's optimiser; paper: the published one."""
    seed: int = Field(0, ge=0)
    """Of the optimisers."""
    semantics: SemanticsConfig | None = None
    """Bring the prototypes of similar classes nearer to each other ("privileged information")."""
    semantics_weight: float = Field(1.0, gt=0)
    cache: bool = True
    """Keep prototypes that took an optimiser in the user's cache folder."""


class OneHotConfig(Section):
    """The baseline of one-hot prototypes: an axis for each class."""

    name: Literal["one_hot"]


class WordVectorsConfig(Section):
    """The baseline of word vectors as prototypes."""

    name: Literal["word_vectors"]
    file: str = Field(min_length=1)
    """Text: one word a line, with its values behind it."""


class SoftmaxConfig(Section):
    """The baseline of softmax cross-entropy."""

    name: Literal["softmax"]
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class MaximumSeparationConfig(Section):
    """Cross-entropy over a fixed simplex (Kasarla et al. 2022, Maximum Class Separation as Inductive Bias)."""

    name: Literal["maximum_separation"]
    scale: Scale = 1.0
    """Of the logits: the paper's rho, 0.1 for its residual networks."""


class CosFaceConfig(Section):
    """Cross-entropy of cosines with a margin (Wang et al. 2018, CosFace)."""

    name: Literal["cosface"]
    dimensions: Dimensions
    scale: Scale
    """The paper's s: 64."""
    margin: float = Field(ge=0)
    """The paper's m: 0.35, of the cosine."""


class ArcFaceConfig(Section):
    """Cross-entropy of angles with a margin (Deng et al. 2019, ArcFace)."""

    name: Literal["arcface"]
    dimensions: Dimensions
    scale: Scale
    """The paper's s: 64."""
    margin: float = Field(ge=0, lt=3.14)
    """The paper's m: 0.5 radians."""


ClassLossConfig = Annotated[
    PrototypesConfig
    | OneHotConfig
    | WordVectorsConfig
    | SoftmaxConfig
    | MaximumSeparationConfig
    | CosFaceConfig
    | ArcFaceConfig,
    Field(discriminator="name"),
]


@dataclass(frozen=True)
class ClassHead:
    """What turns embeddings into classes.

    dimensions: d.
    score: embeddings, a Keras tensor (B, d), -> scores (B, K), of which the largest names the class.
    loss: (class ids (B,), scores) -> (B,).
    """

    dimensions: int
    score: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]


def confidence(config: ClassLossConfig) -> Literal["probability", "cosine"]:
    """What a class's score is: a probability, once softmax is taken, or a cosine."""
    return "probability" if isinstance(config, SoftmaxConfig | MaximumSeparationConfig) else "cosine"


def class_prototypes(config: ClassLossConfig, class_names: Sequence[str]) -> np.ndarray | None:
    """(K, d) float32 of norm 1, for the choices that have fixed prototypes; None for the others.

    Raises:
        UserError: for semantics that do not fit the classes, and sizes for which there are no prototypes.
    """
    import numpy as np

    from tfdlcv.ops import prototypes

    num_classes = len(class_names)
    match config:
        case PrototypesConfig():
            return _separated(config, class_names)
        case OneHotConfig():
            return np.eye(num_classes, dtype=np.float32)
        case MaximumSeparationConfig():
            return prototypes.simplex(num_classes)
        case WordVectorsConfig():
            from tfdlcv.data import class_semantics_files

            vectors = class_semantics_files.read_word_vectors(config.file, class_names)
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            if not norms.all():
                raise UserError(f"{config.file} has a vector of zeros for {class_names[int(np.argmin(norms))]}")
            return (vectors / norms).astype(np.float32)
    return None


def build_class_head(config: ClassLossConfig, num_classes: int, prototypes: Sequence | None) -> ClassHead:
    """The head that `config` names; `prototypes` are those of `class_prototypes`."""
    from tfdlcv import layers, losses
    from tfdlcv.losses import hyperspherical

    match config:
        case PrototypesConfig() | OneHotConfig() | WordVectorsConfig():
            return ClassHead(
                dimensions=len(prototypes[0]),
                score=layers.PrototypeCosines(prototypes, name="prototypes"),
                loss=lambda class_ids, cosines: (1.0 - hyperspherical.own_cosine(cosines, class_ids)) ** 2,
            )
        case SoftmaxConfig():
            return ClassHead(
                dimensions=num_classes,
                score=lambda embeddings: embeddings,
                loss=lambda class_ids, logits: _smoothed(logits, class_ids, config.label_smoothing),
            )
        case MaximumSeparationConfig():
            separation = losses.MaximumSeparationLoss(prototypes, scale=config.scale)
            return ClassHead(
                dimensions=num_classes - 1,
                score=separation.logits,
                loss=lambda class_ids, logits: hyperspherical.class_cross_entropy(logits, class_ids),
            )
        case CosFaceConfig() | ArcFaceConfig():
            margin_loss = losses.CosFaceLoss if isinstance(config, CosFaceConfig) else losses.ArcFaceLoss
            return ClassHead(
                dimensions=config.dimensions,
                score=layers.CosineClassifier(num_classes, name="directions"),
                loss=margin_loss(scale=config.scale, margin=config.margin).call,
            )


def _separated(config: PrototypesConfig, class_names: Sequence[str]) -> np.ndarray:
    from tfdlcv.data import class_semantics_files
    from tfdlcv.ops import class_semantics, prototypes

    try:
        match config.semantics:
            case None:
                similarity = None
            case WordVectorSemantics():
                vectors = class_semantics_files.read_word_vectors(config.semantics.file, class_names)
                similarity = class_semantics.vector_similarity(vectors)
            case HierarchySemantics():
                groups = class_semantics_files.read_hierarchy(config.semantics.file, class_names)
                similarity = class_semantics.hierarchy_similarity(groups)
        return prototypes.separate(
            len(class_names),
            config.dimensions,
            method=config.method,
            seed=config.seed,
            semantics=similarity,
            semantics_weight=config.semantics_weight,
            cache=config.cache,
        )
    except ValueError as error:
        raise UserError(f"loss.dimensions ({config.dimensions}) and {len(class_names)} classes: {error}") from None


def _smoothed(logits, class_ids, label_smoothing: float):
    from keras import ops

    from tfdlcv.losses import hyperspherical

    loss = hyperspherical.class_cross_entropy(logits, class_ids)
    if not label_smoothing:
        return loss
    # Of the even part of the targets, the cross-entropy is the mean over classes.
    even = -ops.mean(ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)
    return (1.0 - label_smoothing) * loss + label_smoothing * even
