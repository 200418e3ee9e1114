"""Triangle meshes of simple bodies, and points drawn evenly from their surfaces.

Shape legend: V vertices, F triangles, N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3) float64 and triangles (F, 3) of indices into them."""

    vertices: np.ndarray
    triangles: np.ndarray

    def transformed(self, matrix: np.ndarray | None = None, offset: Sequence[float] = (0, 0, 0)) -> Mesh:
        """Each vertex v becomes matrix v + offset; `matrix` is (3, 3), or (3,) to stretch the axes."""
        vertices = self.vertices
        if matrix is not None:
            matrix = np.asarray(matrix, np.float64)
            vertices = vertices * matrix if matrix.ndim == 1 else vertices @ matrix.T
        return Mesh(vertices + np.asarray(offset, np.float64), self.triangles)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """All triangles of several meshes in one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]),
    )


def box(size: Sequence[float] = (1, 1, 1), offset: Sequence[float] = (0, 0, 0)) -> Mesh:
    """A box of the given size (x, y, z), its middle at `offset`."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return Mesh(corners, np.array(triangles)).transformed(np.asarray(size), offset)


def rectangle(first: Sequence[float], second: Sequence[float], corner: Sequence[float] = (0, 0, 0)) -> Mesh:
    """The parallelogram that two edges, vectors of 3, span from `corner`."""
    first, second, corner = (np.asarray(vector, np.float64) for vector in (first, second, corner))
    vertices = np.stack([corner, corner + first, corner + first + second, corner + second])
    return Mesh(vertices, np.array([(0, 1, 2), (0, 2, 3)]))


def revolved(profile: Sequence[tuple[float, float]], *, segments: int = 48) -> Mesh:
    """The surface that a line of points (radius, z) leaves when it is turned about the z axis.

    With few segments it has corners: a cone of 4 is a pyramid, a cylinder of 3 a prism.
    """
    profile = np.asarray(profile, np.float64)  # (P, 2)
    angles = 2 * np.pi * np.arange(segments) / segments
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (S, 2)
    sides = profile[:, None, :1] * ring  # (P, S, 2)
    heights = np.broadcast_to(profile[:, None, 1:], (len(profile), segments, 1))
    vertices = np.concatenate([sides, heights], axis=-1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(len(profile) - 1), np.arange(segments), indexing="ij")
    here, right = row * segments + column, row * segments + (column + 1) % segments
    triangles = np.stack(
        [np.stack([here, right, right + segments], -1), np.stack([here, right + segments, here + segments], -1)]
    )
    return Mesh(vertices, triangles.reshape(-1, 3))


def arc(
    radius: float, start: float, end: float, *, middle: tuple[float, float] = (0, 0), steps: int = 24
) -> list[tuple[float, float]]:
    """Points (radius, z) of a circular line from angle `start` to `end`, in radians; angle 0 points outwards."""
    angles = np.linspace(start, end, steps + 1)
    points = np.stack([middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)], axis=1)
    return [(float(r), float(z)) for r, z in points]


def triangle_areas(mesh: Mesh) -> np.ndarray:
    """(F,) float64."""
    return np.linalg.norm(_cross(mesh), axis=1) / 2


def sample_surface(mesh: Mesh, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) float64, uniform over the surface, and the triangle (N,) of each.

    Raises:
        ValueError: the mesh has no area, or an index outside its vertices.
    """
    if len(mesh.triangles) and not 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices):
        raise ValueError(
            f"triangles must be indices in [0, {len(mesh.vertices)}). "
            f"Received: {mesh.triangles.min()}..{mesh.triangles.max()}"
        )
    cumulative = np.cumsum(triangle_areas(mesh))
    if not len(cumulative) or not 0 < cumulative[-1] < np.inf:
        raise ValueError(f"the mesh must have an area > 0. Received: {len(mesh.triangles)} triangles without one")
    triangles = np.searchsorted(cumulative, random.random(count) * cumulative[-1], side="right")
    triangles = np.minimum(triangles, len(cumulative) - 1)
    first, second = random.random((2, count))
    beyond = first + second > 1  # The other half of the parallelogram, folded back.
    first, second = np.where(beyond, 1 - first, first)[:, None], np.where(beyond, 1 - second, second)[:, None]
    a, b, c = (mesh.vertices[mesh.triangles[triangles, corner]] for corner in range(3))
    return a + first * (b - a) + second * (c - a), triangles


def normals(mesh: Mesh) -> np.ndarray:
    """Unit vectors (F, 3) at right angles to the triangles; zeros for those without area."""
    cross = _cross(mesh)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)


def _cross(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)
