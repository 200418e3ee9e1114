"""Point clouds and meshes in files: PLY, LAS and LAZ, NPZ, XYZ and other text; OFF and PLY meshes.

    .ply                 vertices with x y z, and, as they are there: red green blue, nx ny nz, intensity, label; faces
    .las .laz            with the extra `pointcloud` (laspy); 16-bit colours are reduced to 8
    .npz                 arrays positions (N, 3), and, as they are there: color, normal, intensity, label
    .xyz .txt .csv .pts  a row of numbers for each point, with spaces or commas: x y z; x y z intensity; x y z r g b;
                         x y z r g b label
    .off                 a mesh

Shape legend: N points.
"""

from __future__ import annotations

import importlib.util
import warnings
import zipfile
from pathlib import Path

import numpy as np

from tfdlcv.data.clouds import Cloud, check_cloud
from tfdlcv.data.meshes import Mesh, triangle_areas
from tfdlcv.errors import UserError

CLOUD_SUFFIXES = frozenset({".ply", ".las", ".laz", ".npz", ".xyz", ".txt", ".csv", ".pts"})
MESH_SUFFIXES = frozenset({".off"})
_ALSO_LABEL = ("label", "scalar_label", "class", "classification")
_ALSO_INTENSITY = ("intensity", "scalar_intensity", "reflectance")


def read_cloud(path: Path) -> Cloud:
    """A cloud from a file, positions in float64 where the file has them so.

    Raises:
        UserError: no such file, another kind of file, a damaged or truncated one (with the byte), no points, or numbers
            that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    readers = {".ply": _read_ply, ".las": _read_las, ".laz": _read_las, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in CLOUD_SUFFIXES:
        raise UserError(f"{path} must be a file of points: {', '.join(sorted(CLOUD_SUFFIXES))}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    cloud = readers.get(suffix, _read_text)(path)
    check_cloud(cloud, str(path))
    return cloud


def read_mesh(path: Path) -> Mesh | None:
    """The triangles of an OFF file, or of a PLY file that has faces; None where there are only points.

    Raises:
        UserError: as `read_off`.
    """
    path = Path(path)
    if path.suffix.lower() == ".off":
        return read_off(path)
    if path.suffix.lower() != ".ply" or not path.is_file():
        return None
    content = _ply(path)
    names = {element.name for element in content.elements}
    if "face" not in names or not content["face"].count:
        return None
    face = content["face"].data
    lists = next((name for name in ("vertex_indices", "vertex_index") if name in face.dtype.names), None)
    if lists is None:
        raise UserError(f"{path}: its faces have neither vertex_indices nor vertex_index")
    vertex = _ply_vertices(content, path)
    vertices = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64)
    return _mesh(vertices, [np.asarray(corners) for corners in face[lists]], path)


def read_off(path: Path) -> Mesh:
    """A mesh in Geomview's text format; also where the numbers follow "OFF" without a break, as in some of ModelNet's.

    Raises:
        UserError: no such file, one that is damaged or cut short, with the byte, faces of vertices that do not exist,
            vertices that are not finite, or no area.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    content = path.read_bytes()
    lines = [line.split(b"#")[0].split() for line in content.split(b"\n")]
    words = [word for line in lines for word in line]
    if not words or not words[0].startswith(b"OFF"):
        raise UserError(f"{path} is not an OFF file: at byte 0 it has {content[:8]!r}")
    words = [words[0][3:], *words[1:]] if words[0] != b"OFF" else words[1:]
    try:
        counts = [int(word) for word in words[:3]]
        if min(counts[:2], default=0) < 0:
            raise ValueError(f"{counts[0]} vertices and {counts[1]} faces")
        vertices = np.array(words[3 : 3 + 3 * counts[0]], np.float64)
        place, polygons = 3 + 3 * counts[0], []
        for _ in range(counts[1]):
            corners = int(words[place])
            polygons.append(np.array(words[place + 1 : place + 1 + corners], np.int64))
            if len(polygons[-1]) < corners:
                raise IndexError
            place += 1 + corners
    except IndexError:
        raise UserError(f"{path}: cut short: it ends at byte {len(content)}, before the last face") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged, or cut short at byte {len(content)}: {error}") from None
    if len(vertices) < 3 * counts[0]:
        raise UserError(f"{path}: cut short: it ends at byte {len(content)}, before the last vertex")
    return _mesh(vertices.reshape(-1, 3), polygons, path)


def write_ply(path: Path, positions: np.ndarray, colors: np.ndarray, *, label: np.ndarray | None = None) -> Path:
    """Writes points with colours (N, 3) uint8 and classes (N,) as a binary PLY; makes the folder it lies in."""
    from plyfile import PlyData, PlyElement

    position_type = "f8" if positions.dtype == np.float64 else "f4"
    fields = [(axis, position_type) for axis in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    if label is not None:
        fields.append(("label", "i4"))
    vertex = np.empty(len(positions), fields)
    for column, name in enumerate("xyz"):
        vertex[name] = positions[:, column]
    for column, name in enumerate(("red", "green", "blue")):
        vertex[name] = colors[:, column]
    if label is not None:
        vertex["label"] = label
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    PlyData([PlyElement.describe(vertex, "vertex")]).write(str(path))
    return path


def _ply(path: Path):
    from plyfile import PlyData, PlyParseError

    try:
        return PlyData.read(str(path))
    except PlyParseError as error:
        size = path.stat().st_size
        what = f"cut short: it ends at byte {size}" if "end-of-file" in str(error) else "damaged"
        raise UserError(f"{path}: {what}: {error}") from None
    except (UnicodeDecodeError, ValueError, OSError) as error:
        raise UserError(f"{path}: not a PLY file: {error}") from None


def _ply_vertices(content, path: Path) -> np.ndarray:
    """(N,) with the fields x, y, z and others."""
    if "vertex" not in {element.name for element in content.elements}:
        raise UserError(f"{path}: the PLY file has no element vertex")
    vertex = content["vertex"].data
    missing = [axis for axis in "xyz" if axis not in vertex.dtype.names]
    if missing:
        raise UserError(f"{path}: the PLY file's vertices have no {', '.join(missing)}")
    return vertex


def _read_ply(path: Path) -> Cloud:
    vertex = _ply_vertices(_ply(path), path)

    def columns(*names):
        return np.stack([vertex[name] for name in names], axis=1) if {*names} <= {*vertex.dtype.names} else None

    def one_of(names):
        return next((np.asarray(vertex[name]) for name in names if name in vertex.dtype.names), None)

    label = one_of(_ALSO_LABEL)
    return Cloud(
        positions=columns("x", "y", "z"),
        color=_eight_bits(columns("red", "green", "blue")),
        normal=columns("nx", "ny", "nz"),
        intensity=one_of(_ALSO_INTENSITY),
        label=None if label is None else label.astype(np.int32),
    )


def _read_las(path: Path) -> Cloud:
    if importlib.util.find_spec("laspy") is None:
        raise UserError(f"{path}: LAS files need the package laspy: pip install 'tfdlcv[pointcloud]'")
    import laspy

    size = path.stat().st_size
    try:
        with laspy.open(path) as reader:
            header = reader.header
            end = header.offset_to_point_data + header.point_count * header.point_format.size
            if not header.are_points_compressed and size < end:
                whole = max(size - header.offset_to_point_data, 0) // header.point_format.size
                raise UserError(
                    f"{path}: cut short: it ends at byte {size}, after {whole} of {header.point_count} points; the "
                    f"header says {end} bytes"
                )
            content = reader.read()
    except UserError:
        raise
    except Exception as error:  # laspy and the decompressors below it have no common class of errors.
        raise UserError(f"{path}: damaged, or cut short at byte {size}: {error}") from None
    names = {*content.point_format.dimension_names}
    color = None
    if {"red", "green", "blue"} <= names:
        color = np.stack([content.red, content.green, content.blue], axis=1)
    label = np.asarray(content.classification, np.int32) if "classification" in names else None
    return Cloud(
        positions=np.stack([content.x, content.y, content.z], axis=1),
        color=_eight_bits(color),
        intensity=np.asarray(content.intensity, np.float32) if "intensity" in names else None,
        label=label if label is not None and label.any() else None,  # 0: created, never classified.
    )


def _read_npz(path: Path) -> Cloud:
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
        raise UserError(f"{path}: damaged, or cut short at byte {path.stat().st_size}: {error}") from None
    if "positions" not in arrays:
        raise UserError(f"{path}: the file has no array positions. It has: {', '.join(arrays) or 'none'}")
    positions = arrays["positions"]
    if positions.dtype.kind not in "fiu":
        raise UserError(f"{path}: positions must be numbers, but are {positions.dtype}")
    label = arrays.get("label")
    return Cloud(
        positions=positions if positions.dtype.kind == "f" else positions.astype(np.float64),
        color=_eight_bits(arrays.get("color")),
        normal=arrays.get("normal"),
        intensity=arrays.get("intensity"),
        label=None if label is None or label.ndim == 0 else label.astype(np.int32),
    )


def _read_text(path: Path) -> Cloud:
    with path.open("rb") as file:
        first = file.readline()
    delimiter = "," if b"," in first else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of files without rows, which are an error below.
            rows = np.loadtxt(path, delimiter=delimiter, ndmin=2, dtype=np.float64)
    except ValueError:
        raise UserError(_text_fault(path, delimiter)) from None
    if rows.size == 0:
        raise UserError(f"{path}: the cloud is empty")
    width = rows.shape[1]
    if width not in (3, 4, 6, 7):
        raise UserError(f"{path}: rows must have 3, 4, 6 or 7 numbers (see the reader's list), but have {width}")
    return Cloud(
        positions=rows[:, :3],
        intensity=rows[:, 3].astype(np.float32) if width == 4 else None,
        color=_eight_bits(rows[:, 3:6]) if width >= 6 else None,
        label=rows[:, 6].astype(np.int32) if width == 7 else None,
    )


def _text_fault(path: Path, delimiter: str | None) -> str:
    """Where the first row is that is not numbers, or not as many as the rows before."""
    place, expected = 0, None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            words = line.decode("utf-8", "replace").split("#")[0].split(delimiter)
            words = [word.strip() for word in words]
            for word in words if any(words) else []:
                try:
                    float(word)
                except ValueError:
                    return f"{path}: line {number}, at byte {place}: {word!r} is not a number"
            if any(words):
                expected = expected or len(words)
                if len(words) != expected:
                    return f"{path}: line {number}, at byte {place}: {len(words)} numbers where {expected} stood before"
            place += len(line)
    return f"{path}: not a table of numbers"


def _eight_bits(color: np.ndarray | None) -> np.ndarray | None:
    """(N, 3) uint8 of colours in 0..255, in 0..65535 (LAS), or floats in 0..1."""
    if color is None or color.dtype == np.uint8:
        return color
    if color.dtype.kind == "f" and color.size and color.max() <= 1:
        color = color * 255
    elif color.size and color.max() > 255:
        color = color / 257
    return np.clip(np.round(color), 0, 255).astype(np.uint8)


def _mesh(vertices: np.ndarray, polygons: list[np.ndarray], path: Path) -> Mesh:
    """Of vertices (V, 3) float64 and the corners of each polygon; checks that points can be drawn from its surface."""
    finite = np.isfinite(vertices).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise UserError(f"{path}: vertex {row} is not finite: {vertices[row].tolist()}")
    mesh = Mesh(vertices, _triangles(polygons, len(vertices), path))
    with np.errstate(over="ignore", invalid="ignore"):  # An area beyond float64 is the error below.
        area = triangle_areas(mesh).sum()
    if not 0 < area < np.inf:
        raise UserError(f"{path}: the area of the mesh must be finite and > 0, but is {area:g}")
    return mesh


def _triangles(polygons: list[np.ndarray], num_vertices: int, path: Path) -> np.ndarray:
    """(F, 3): each polygon cut into triangles from its first corner."""
    fans = [np.stack([np.full(len(p) - 2, p[0]), p[1:-1], p[2:]], axis=1) for p in polygons if len(p) >= 3]
    if not fans:
        raise UserError(f"{path}: the mesh has no faces")
    triangles = np.concatenate(fans).astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= num_vertices:
        raise UserError(
            f"{path}: faces must name vertices 0..{num_vertices - 1}, but name {triangles.min()}..{triangles.max()}"
        )
    return triangles
