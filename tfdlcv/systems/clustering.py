"""Segmentation without learning: pixels are grouped by colour and place, and the groups have no names.

k-means: Lloyd, "Least squares quantization in PCM", 1982. Agglomerative clustering: Ward, "Hierarchical grouping to
optimize an objective function", 1963. Superpixels: Achanta et al., "SLIC Superpixels", 2012.

Shape legend: images H x W with C channels, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from tfdlcv.config import Section
from tfdlcv.errors import UserError

if TYPE_CHECKING:
    import numpy as np

MOST_CLUSTERS = 255  # Label maps hold bytes, and 255 is void.
_MOST_FITTED = 100_000  # Pixels that k-means finds its centres with; of larger images a random part.
_MOST_MERGED = 40_000  # Pixels that are merged one by one within some seconds.


class KMeansConfig(Section):
    """Lloyd's algorithm on colour and place, until no pixel changes its cluster."""

    name: Literal["kmeans"]
    clusters: int = Field(6, ge=2, le=MOST_CLUSTERS)
    place_weight: float = Field(0.5, ge=0)
    """Factor of a pixel's coordinates, of which the longer side's are 0..1, as the colours; 0: colour alone."""
    starts: int = Field(4, ge=1)
    """Random beginnings, of which the best end counts."""
    seed: int = Field(0, ge=0, lt=2**31)


class AgglomerativeConfig(Section):
    """Neighbouring pixels, or superpixels, are merged two by two, the most similar first."""

    name: Literal["agglomerative"]
    clusters: int | None = Field(6, ge=2, le=MOST_CLUSTERS)
    """Where merging stops; None: at `distance`."""
    distance: float | None = Field(None, gt=0)
    """Where merging stops: at this distance between clusters, of colours 0..1."""
    linkage: Literal["ward", "average", "complete", "single"] = "ward"
    """The distance of clusters: of their means, weighted by size; or of their pixels the mean, largest, smallest."""
    place_weight: float = Field(0.0, ge=0)
    """As of kmeans."""
    superpixels: Annotated[int, Field(ge=2)] | None = 1000
    """About how many patches of like pixels are merged; None: pixels."""

    @model_validator(mode="after")
    def _one_end(self):
        if (self.clusters is None) == (self.distance is None):
            raise ValueError(
                f"merging stops at clusters ({self.clusters}) or at distance ({self.distance}): give one, and null for "
                "the other"
            )
        return self


ClusteringConfig = Annotated[KMeansConfig | AgglomerativeConfig, Field(discriminator="name")]


def cluster(image: np.ndarray, config: KMeansConfig | AgglomerativeConfig) -> np.ndarray:
    """Clusters (H, W) int32 of an image (H, W, C) uint8: 0 is the largest, and so on.

    Raises:
        UserError: the image has fewer pixels than clusters are wanted, or too many for merging.
    """
    if isinstance(config, KMeansConfig):
        return _by_size(_kmeans(image, config))
    return _by_size(_agglomerative(image, config))


def name_clusters(clusters: np.ndarray, truth: np.ndarray, num_classes: int, void: int = 255) -> np.ndarray:
    """Class (K,) int32 of each cluster: the one that most of its pixels have in the truth; void where none has any.

    No algorithm knows it; it tells how well the clusters' borders would do if somebody named the clusters.

    Args:
        clusters: (H, W) of 0..K-1.
        truth: (H, W) of 0..num_classes-1, or void.
    """
    import numpy as np

    known = truth != void
    counts = np.zeros((int(clusters.max()) + 1, num_classes), np.int64)
    np.add.at(counts, (clusters[known], truth[known]), 1)
    return np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), void).astype(np.int32)


def _features(image: np.ndarray, place_weight: float) -> np.ndarray:
    """(H, W, C + 2): colours 0..1 and weighted places."""
    import numpy as np

    height, width = image.shape[:2]
    places = np.stack(np.indices((height, width)), axis=-1) / max(height, width, 2)
    return np.concatenate([image / 255, place_weight * places], axis=-1)


def _kmeans(image: np.ndarray, config: KMeansConfig) -> np.ndarray:
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    features = _features(image, config.place_weight).reshape(-1, image.shape[-1] + 2)
    if len(features) < config.clusters:
        raise UserError(f"the image of {len(features)} pixels cannot have {config.clusters} clusters")
    random = np.random.default_rng(config.seed)
    fitted = features
    if len(features) > _MOST_FITTED:
        fitted = features[random.choice(len(features), _MOST_FITTED, replace=False)]
    means = KMeans(
        config.clusters,
        n_init=config.starts,
        max_iter=10_000,  # It ends when assignments stop, long before.
        tol=0.0,
        algorithm="lloyd",
        random_state=config.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # An image of fewer colours than clusters has fewer.
        means.fit(fitted)
    return means.predict(features).reshape(image.shape[:2])


def _agglomerative(image: np.ndarray, config: AgglomerativeConfig) -> np.ndarray:
    import numpy as np
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.feature_extraction.image import grid_to_graph

    height, width = image.shape[:2]
    features = _features(image, config.place_weight)
    if config.superpixels is None:
        if height * width > _MOST_MERGED:
            raise UserError(
                f"predict.method.superpixels: the image of {height} x {width} pixels is too large to merge pixels "
                f"({_MOST_MERGED} at most); merge superpixels"
            )
        patches = np.arange(height * width).reshape(height, width)
        neighbors = grid_to_graph(height, width)
    else:
        patches = _superpixels(image, config.superpixels)
        neighbors = _neighbors(patches)
    count = int(patches.max()) + 1
    if count < (config.clusters or 2):
        raise UserError(f"the image has {count} patches, which cannot make {config.clusters or 2} clusters")
    sizes = np.bincount(patches.ravel())[:, None]
    means = np.stack([np.bincount(patches.ravel(), each) for each in features.reshape(-1, features.shape[-1]).T], -1)
    merging = AgglomerativeClustering(
        config.clusters,
        distance_threshold=config.distance,
        linkage=config.linkage,
        connectivity=neighbors,
        compute_full_tree=config.distance is not None,
    )
    labels = merging.fit(means / sizes).labels_
    if labels.max() >= MOST_CLUSTERS:
        raise UserError(
            f"predict.method.distance ({config.distance}) leaves {labels.max() + 1} clusters, more than "
            f"{MOST_CLUSTERS}; choose a larger one"
        )
    return labels[patches]


def _superpixels(image: np.ndarray, count: int) -> np.ndarray:
    """Patches (H, W) of like pixels, numbered from 0 without gaps."""
    import numpy as np
    from skimage.segmentation import slic

    count = min(count, image.shape[0] * image.shape[1])
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    patches = slic(rgb, n_segments=count, compactness=10, start_label=0, channel_axis=-1)
    return np.unique(patches, return_inverse=True)[1].reshape(image.shape[:2])


def _neighbors(patches: np.ndarray):
    """Sparse (P, P): which patches touch each other at a side of a pixel."""
    import numpy as np
    from scipy.sparse import coo_matrix

    pairs = np.concatenate(
        [
            np.stack([patches[1:].ravel(), patches[:-1].ravel()]),
            np.stack([patches[:, 1:].ravel(), patches[:, :-1].ravel()]),
        ],
        axis=1,
    )
    pairs = np.unique(pairs[:, pairs[0] != pairs[1]], axis=1)
    first, second = np.concatenate([pairs, pairs[::-1]], axis=1)
    count = int(patches.max()) + 1
    return coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count)).tocsr()


def _by_size(labels: np.ndarray) -> np.ndarray:
    import numpy as np

    counts: Sequence[int] = np.bincount(labels.ravel())
    order = np.argsort(-counts, kind="stable")
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks[labels]
