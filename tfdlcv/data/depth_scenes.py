"""Generated solids and the depth maps that cameras around them see, for the fusion of depth maps.

A scene is the union of one to three bodies whose signed distance is known in closed form, within the cube of edge 1
about the origin. Depth maps are made by sphere tracing (Hart 1996): a ray goes on by the distance to the nearest
surface until it is on it.

Shape legend: M points, V views of P x P pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfdlcv.data.primitives import random_rotation

# Half edges, radii and half lengths, lowest and highest, in units of the cube's edge.
BODIES = {
    "sphere": ((0.12, 0.25),),
    "box": ((0.08, 0.22), (0.08, 0.22), (0.08, 0.22)),
    "cylinder": ((0.08, 0.2), (0.08, 0.22)),
    "torus": ((0.12, 0.2), (0.04, 0.08)),
    "capsule": ((0.06, 0.12), (0.08, 0.2)),
}
_RADIUS = 0.45  # Of a ball that holds the scene; the cube ends at 0.5.
_NEAR = 0.87  # Half the diagonal of the cube: where rays enter and leave it, about the camera's distance.
_SURFACE = 2e-4  # A ray this near a surface is on it: a 50th of a voxel of 128^3.
_MOST_STEPS = 96


@dataclass(frozen=True)
class Body:
    """One of `BODIES`, its axis along z before it is turned.

    Attributes:
        rotation: (3, 3), from the body's axes to the scene's.
        centre: (3,).
        size: as `BODIES` has them: the sphere's radius; half edges; radius and half height of the cylinder; radii of
            the torus's ring and tube; radius and half length of the capsule.
    """

    kind: str
    rotation: np.ndarray
    centre: np.ndarray
    size: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (M,) to the surface, negative inside."""
        # Not `@`: the threads of BLAS wait for each other actively, which costs ten times the work on busy cores.
        local = np.einsum("mi,ij->mj", points - self.centre, self.rotation)
        across, z = np.hypot(local[:, 0], local[:, 1]), local[:, 2]
        match self.kind:
            case "sphere":
                return np.linalg.norm(local, axis=1) - self.size[0]
            case "box":
                return _of_corner(np.abs(local) - self.size)
            case "cylinder":
                return _of_corner(np.stack([across, np.abs(z)], axis=1) - self.size)
            case "torus":
                return np.hypot(across - self.size[0], z) - self.size[1]
            case "capsule":
                return np.hypot(across, z - np.clip(z, -self.size[1], self.size[1])) - self.size[0]
        raise ValueError(f"kind must be one of {', '.join(BODIES)}. Received: kind={self.kind!r}")


def _of_corner(beyond: np.ndarray) -> np.ndarray:
    """Distance from how far points lie beyond each of a body's sides."""
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


def random_scene(random: np.random.Generator) -> list[Body]:
    """One to three bodies of any kind, turned at random, that overlap or stand apart."""
    kinds = random.choice([*BODIES], random.integers(1, 4))
    sizes = [np.array([random.uniform(*limits) for limits in BODIES[kind]]) for kind in kinds]
    centres = [random.uniform(-0.15, 0.15, 3) for _ in kinds]
    reach = max(np.linalg.norm(centre) + np.linalg.norm(size) for centre, size in zip(centres, sizes, strict=True))
    scale = min(1.0, _RADIUS / reach)
    return [
        Body(str(kind), random_rotation(random), centre * scale, size * scale)
        for kind, centre, size in zip(kinds, centres, sizes, strict=True)
    ]


def scene_distance(scene: Sequence[Body], points: np.ndarray) -> np.ndarray:
    """Signed distance (M,) of points (M, 3) to the union: exact outside, at least as far as the surface inside."""
    return np.min([body.distance(points) for body in scene], axis=0)


@dataclass(frozen=True)
class DepthMaps:
    """What several cameras see.

    Attributes:
        depth: (V, P, P) float32, along the camera's axis; infinite where there is nothing.
        intrinsics: (V, 3, 3), from camera coordinates to pixels; the centre of the first pixel is at (0.5, 0.5).
        world_to_camera: (V, 3, 4), rotation and translation; cameras look along their z axis.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    world_to_camera: np.ndarray

    def __len__(self) -> int:
        return len(self.depth)


def render(
    scene: Sequence[Body], random: np.random.Generator, *, views: int, pixels: int, noise: float = 0.0
) -> DepthMaps:
    """Depth maps from random directions.

    Args:
        views: V.
        pixels: P.
        noise: deviation of a Gaussian on each depth, as a share of it.
    """
    maps, intrinsics, poses = [], [], []
    for _ in range(views):
        direction = random.normal(size=3)
        distance = random.uniform(1.5, 2.0)
        pose = look_at(direction / np.linalg.norm(direction) * distance)
        # So that the picture is as wide as the cube's diagonal.
        focal = pixels * distance / (2 * _NEAR)
        camera = np.array([[focal, 0, pixels / 2], [0, focal, pixels / 2], [0, 0, 1]])
        depth = trace(scene, camera, pose, pixels, nearest=distance - _NEAR, farthest=distance + _NEAR)
        maps.append(depth * (1 + noise * random.normal(size=depth.shape)))
        intrinsics.append(camera)
        poses.append(pose)
    return DepthMaps(np.stack(maps).astype(np.float32), np.stack(intrinsics), np.stack(poses))


def look_at(position: np.ndarray) -> np.ndarray:
    """(3, 4): of a camera at `position` that looks at the origin."""
    z = -position / np.linalg.norm(position)
    x = np.cross(np.eye(3)[np.argmin(np.abs(z))], z)
    x /= np.linalg.norm(x)
    rotation = np.stack([x, np.cross(z, x), z])
    return np.concatenate([rotation, -rotation @ position[:, None]], axis=1)


def trace(
    scene: Sequence[Body], camera: np.ndarray, pose: np.ndarray, pixels: int, *, nearest: float, farthest: float
) -> np.ndarray:
    """(P, P) float64: depth of the first surface that each pixel's ray meets; infinite where it meets none."""
    row, column = np.meshgrid(*[np.arange(pixels) + 0.5] * 2, indexing="ij")
    rays = np.stack([column, row, np.ones_like(row)], axis=-1).reshape(-1, 3) @ np.linalg.inv(camera).T
    lengths = np.linalg.norm(rays, axis=1)
    directions = (rays / lengths[:, None]) @ pose[:, :3]
    origin = -pose[:, :3].T @ pose[:, 3]
    depth = np.full(len(rays), np.inf)
    gone = np.full(len(rays), nearest, np.float64)
    active = np.arange(len(rays))
    for _ in range(_MOST_STEPS):
        step = scene_distance(scene, origin + gone[active, None] * directions[active])
        met = step < _SURFACE
        depth[active[met]] = gone[active[met]] / lengths[active[met]]
        active, step = active[~met], step[~met]
        gone[active] += step
        active = active[gone[active] < farthest * lengths[active]]
        if not len(active):
            break
    return depth.reshape(pixels, pixels)
