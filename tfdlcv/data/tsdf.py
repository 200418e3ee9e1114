"""Truncated signed distances of depth maps: their plain average, and how often each distance was seen.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images", 1996 (the average); Riegler,
Ulusoy, Bischof and Geiger, "OctNetFusion: Learning Depth Fusion from Data", 2017 (the histogram).

Volumes stand for the cube of edge 1 about the origin; axes are x, y, z. A view's signed distance of a voxel is the
depth that it has at the voxel's pixel less that of the voxel: positive in front of the surface. All distances are in
units of the truncation, which is the same number of voxels at every resolution.

Shape legend: S voxels along each axis, V views, M points.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfdlcv.data.depth_scenes import DepthMaps

TRUNCATION_VOXELS = 0.025 * 256  # OctNetFusion's code: 0.025 of the cube's edge at 256^3, twice as much at 128^3.
BINS = 10  # Eight within the truncation, one for what is farther in front, one for what is farther behind.


def voxel_centres(resolution: int) -> np.ndarray:
    """(S^3, 3) float64."""
    along = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.stack(np.meshgrid(along, along, along, indexing="ij"), axis=-1).reshape(-1, 3)


def signed_distances(maps: DepthMaps, points: np.ndarray, truncation: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each view the signed distance (M,) of points, and whether (M,) they lie in the picture."""
    height, width = maps.depth.shape[1:]
    for depth, camera, pose in zip(maps.depth, maps.intrinsics, maps.world_to_camera, strict=True):
        # Not `@`: the threads of BLAS wait for each other actively, which costs ten times the work on busy cores.
        local = np.einsum("mi,ji->mj", points, pose[:, :3]) + pose[:, 3]
        front = local[:, 2] > 1e-9
        pixels = np.einsum("mi,ji->mj", local, camera) / np.where(front, local[:, 2], 1)[:, None]
        column, row = (np.floor(np.clip(pixels[:, axis], -1, 2**20)).astype(np.int64) for axis in (0, 1))
        seen = front & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        found = depth[np.where(seen, row, 0), np.where(seen, column, 0)]
        yield (found - local[:, 2]) / truncation, seen


def fuse(maps: DepthMaps, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """The average and the histogram of the views.

    The average is of the views in which a voxel is in front of the surface or within the truncation behind it. A voxel
    that is behind the surface wherever it is seen counts as inside, -1, and one that no picture shows as outside, 1.

    Returns:
        average: (S, S, S) float32 in -1..1.
        counts: (S, S, S, 10) uint8, of how many views the distance is in each bin; see `BINS`.
    """
    points = voxel_centres(resolution)
    total, weight, shown = np.zeros(len(points)), np.zeros(len(points)), np.zeros(len(points), bool)
    counts = np.zeros((len(points), BINS), np.uint8)
    rows = np.arange(len(points))
    for distances, seen in signed_distances(maps, points, TRUNCATION_VOXELS / resolution):
        near = seen & (distances >= -1)
        total += np.where(near, np.minimum(distances, 1), 0)
        weight += near
        shown |= seen
        # The code's bins: centres a quarter of the truncation apart, the first and last half of that beyond it.
        place = np.clip(np.floor(np.where(seen, np.minimum(distances, 9), 9) * 4 + 5), 0, BINS - 1).astype(np.int64)
        counts[rows[seen], place[seen]] += 1
    average = np.where(weight > 0, total / np.maximum(weight, 1), np.where(shown, -1, 1))
    shape = (resolution,) * 3
    return average.astype(np.float32).reshape(shape), counts.reshape(*shape, BINS)


def surface_points(tsdf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a volume (S, S, S) crosses zero between neighbouring voxels: points (M, 3) float32 and outward normals."""
    resolution = tsdf.shape[0]
    slopes = np.stack(np.gradient(tsdf.astype(np.float64)), axis=-1)
    points, normals = [], []
    for axis in range(3):
        first = np.take(tsdf, range(resolution - 1), axis).astype(np.float64)
        second = np.take(tsdf, range(1, resolution), axis).astype(np.float64)
        places = np.argwhere((first <= 0) != (second <= 0))
        low, high = first[tuple(places.T)], second[tuple(places.T)]
        centres = places + 0.5
        centres[:, axis] += low / (low - high)
        points.append(centres / resolution - 0.5)
        normals.append(slopes[tuple(places.T)])
    points, normals = np.concatenate(points), np.concatenate(normals)
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return points.astype(np.float32), (normals / length).astype(np.float32)
