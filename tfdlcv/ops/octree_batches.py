"""Octrees of several volumes as the arrays that networks take: groups of leaves are padded to those of the largest.

Arrays for level l = 0, 1, ..., each of half the resolution of the one before, with L_l leaves:

    reads{l}_{group}  (B, L_g, R_g) int32   what a convolution reads; see `tfdlcv.ops.octree.convolution_reads`
    children{l}       (B, L_(l+1), 8) int32 the leaves of level l that make each of level l + 1; for `FlexPooling`
    parents{l}        (B, L_l, 1) int32     the leaf of level l + 1 that each of level l lies in; the way back
    leaf_index        (B, S, S, S) int32    the leaf around each voxel, of one of the levels

-1 is padding. The numbers of leaves are rounded up to one of four steps an octave, so that a compiled network sees few
different shapes.

Shapes: B volumes, S voxels along each axis, L leaves, L_g leaves of group g, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfdlcv.ops import octree
from tfdlcv.ops.octree import Octree


@dataclasses.dataclass(frozen=True)
class OctreeSpec:
    """Which arrays a network takes.

    Attributes:
        resolution: S of level 0, a multiple of 8.
        levels: how many resolutions.
        convolved: how many of them are convolved, from level 0 on.
        parents: whether the network comes back up.
        dense_level: the level of `leaf_index`.
    """

    resolution: int
    levels: int = 1
    convolved: int = 1
    parents: bool = False
    dense_level: int = 0

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The shape of each array without its axis of volumes; None for numbers of leaves."""
        shapes = {}
        for level in range(self.levels):
            largest = max(octree.LARGEST_LEAF >> level, 1)
            if level < self.convolved:
                for name in octree.group_names(largest):
                    shapes[f"reads{level}_{name}"] = (None, octree.tap_means(name, largest, 3).shape[1])
            if level + 1 < self.levels:
                shapes[f"children{level}"] = (None, 8)
                if self.parents:
                    shapes[f"parents{level}"] = (None, 1)
        return shapes | {"leaf_index": (self.resolution >> self.dense_level,) * 3}


def group_inputs(level: int) -> list[str]:
    """The names of a level's reads, in the order of the groups."""
    return [f"reads{level}_{name}" for name in octree.group_names(max(octree.LARGEST_LEAF >> level, 1))]


def batch_arrays(trees: Sequence[Octree], features: Sequence[np.ndarray], spec: OctreeSpec) -> dict[str, np.ndarray]:
    """The arrays of `spec` and `features` (B, L_0, C) for trees of level 0 with their features (L, C)."""
    arrays = {}
    level_trees, places = list(trees), _places(trees)
    room = _room(trees)
    arrays["features"] = _placed(features, places, sum(room), fill=0)
    for level in range(spec.levels):
        if level == spec.dense_level:
            index = [place[tree.leaf_index] for tree, place in zip(level_trees, places, strict=True)]
            arrays["leaf_index"] = np.stack(index).astype(np.int32)
        if level < spec.convolved:
            arrays |= _batch_reads(level, level_trees, places, room)
        if level + 1 == spec.levels:
            break
        pooled = [octree.pool_octree(tree) for tree in level_trees]
        below = [each.octree for each in pooled]
        below_places, below_room = _places(below), _room(below)
        children = [_renumbered(each.children, place) for each, place in zip(pooled, places, strict=True)]
        arrays[f"children{level}"] = _placed(children, below_places, sum(below_room), fill=-1)
        if spec.parents:
            parents = [_renumbered(each.parents, place) for each, place in zip(pooled, below_places, strict=True)]
            arrays[f"parents{level}"] = _placed(parents, places, sum(room), fill=-1)
        level_trees, places, room = below, below_places, below_room
    return arrays


def _batch_reads(level: int, trees, places, room) -> dict[str, np.ndarray]:
    tables = [octree.convolution_reads(tree) for tree in trees]
    arrays = {}
    for group, (name, length) in enumerate(zip(group_inputs(level), room, strict=True)):
        width = tables[0][group].shape[1]
        stacked = np.full((len(trees), length, width), -1, np.int32)
        for row, of_tree, place in zip(stacked, tables, places, strict=True):
            row[: len(of_tree[group])] = _renumbered(of_tree[group], place)
        arrays[name] = stacked
    return arrays


def _room(trees: Sequence[Octree]) -> list[int]:
    """How many leaves of each group the batch has room for."""
    return [rounded_up(int(count)) for count in np.max([tree.groups for tree in trees], axis=0)]


def _places(trees: Sequence[Octree]) -> list[np.ndarray]:
    """Where each leaf of each tree stands in the padded order, (L,) int32."""
    starts = np.cumsum([0, *_room(trees)[:-1]])
    return [
        np.concatenate([start + np.arange(count) for start, count in zip(starts, tree.groups, strict=True)]).astype(
            np.int32
        )
        for tree in trees
    ]


def rounded_up(count: int) -> int:
    """To one of four steps an octave, to 8 at least; 0 stays."""
    step = max(8, 1 << max(count.bit_length() - 3, 0))
    return -(-count // step) * step


def _renumbered(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, place[values], -1)


def _placed(values: Sequence[np.ndarray], places: Sequence[np.ndarray], length: int, *, fill) -> np.ndarray:
    """(B, length, ...): rows of each at its places."""
    stacked = np.full((len(values), length, *values[0].shape[1:]), fill, values[0].dtype)
    for row, value, place in zip(stacked, values, places, strict=True):
        row[place] = value
    return stacked
