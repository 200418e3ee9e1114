import laspy
import numpy as np
import pytest

from tests.data.published_clouds import TETRAHEDRON
from tfdlcv.data import cloud_files
from tfdlcv.data.cloud_files import read_cloud, read_mesh, read_off, write_ply
from tfdlcv.errors import UserError

RANDOM = np.random.default_rng(0)
POSITIONS = np.array([500_000.123, 5_600_000.456, 100]) + RANDOM.normal(size=(50, 3))  # As maps have them.
COLORS = RANDOM.integers(0, 256, (50, 3)).astype(np.uint8)
LABELS = RANDOM.integers(0, 9, 50).astype(np.int32)


def write_las(path, **options):
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.offsets, header.scales = POSITIONS.min(axis=0), [1e-4] * 3
    content = laspy.LasData(header)
    content.x, content.y, content.z = POSITIONS.T
    content.red, content.green, content.blue = COLORS.T.astype(np.uint16) * 257
    content.intensity = np.arange(50)
    content.classification = options.get("classification", LABELS)
    content.write(path)


def write(path):
    """A file of the kind that the suffix says; returns the precision of its coordinates."""
    match path.suffix:
        case ".ply":
            write_ply(path, POSITIONS, COLORS, label=LABELS)
        case ".las" | ".laz":
            write_las(path)
            return 1e-4
        case ".npz":
            np.savez(path, positions=POSITIONS, color=COLORS, label=LABELS)
        case ".csv":
            np.savetxt(path, np.column_stack([POSITIONS, COLORS, LABELS]), delimiter=",", fmt="%.9g")
            return 1e-2
        case _:
            np.savetxt(path, np.column_stack([POSITIONS, COLORS, LABELS]), fmt="%.12g", header="x y z r g b label")
            return 1e-5
    return 0


@pytest.mark.parametrize("suffix", sorted(cloud_files.CLOUD_SUFFIXES))
def test_every_kind_of_file_gives_the_cloud_back(suffix, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    precision = write(path)
    cloud = read_cloud(path)
    assert cloud.positions.dtype == np.float64
    np.testing.assert_allclose(cloud.positions, POSITIONS, rtol=0, atol=precision)
    np.testing.assert_array_equal(cloud.color, COLORS)
    np.testing.assert_array_equal(cloud.label, LABELS)


@pytest.mark.parametrize(("columns", "intensity", "color"), [(3, False, False), (4, True, False), (6, False, True)])
def test_text_of_fewer_columns(columns, intensity, color, tmp_path):
    rows = np.column_stack([POSITIONS, COLORS])[:, :columns]
    np.savetxt(tmp_path / "cloud.xyz", rows)
    cloud = read_cloud(tmp_path / "cloud.xyz")
    assert (cloud.intensity is not None, cloud.color is not None, cloud.label) == (intensity, color, None)


def test_las_that_was_never_classified_has_no_labels(tmp_path):
    write_las(tmp_path / "cloud.las", classification=np.zeros(50, np.uint8))
    assert read_cloud(tmp_path / "cloud.las").label is None


def test_ascii_ply_with_normals_and_colours_as_fractions(tmp_path):
    names = ("x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "scalar_intensity")
    (tmp_path / "cloud.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\n"
        + "".join(f"property float {name}\n" for name in names)
        + "end_header\n0 1 2 0 0 1 1 0.5 0 7\n3 4 5 1 0 0 0 0 1 8\n"
    )
    cloud = read_cloud(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(cloud.positions, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(cloud.normal, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(cloud.color, [[255, 128, 0], [0, 0, 255]])
    np.testing.assert_array_equal(cloud.intensity, [7, 8])


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".ply", "cut short: it ends at byte {size}: element 'vertex': row 4"),
        (".las", r"cut short: it ends at byte {size}, after \d+ of 50 points; the header says"),
        (".laz", "damaged, or cut short at byte {size}"),
        (".npz", "damaged, or cut short at byte {size}"),
        (".xyz", r"line 2\d, at byte \d+: \d numbers where 7 stood before"),
    ],
)
def test_truncated_files_name_the_byte(suffix, message, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    write(path)
    content = path.read_bytes()
    size = len(content) - 200 if suffix != ".xyz" else content.index(b"\n", len(content) // 2) + 20
    path.write_bytes(content[:size])
    with pytest.raises(UserError, match=message.format(size=size)):
        read_cloud(path)


@pytest.mark.parametrize("suffix", sorted(cloud_files.CLOUD_SUFFIXES))
def test_files_of_other_content(suffix, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    path.write_bytes(b"\x00\xffnot a cloud at all\n" * 40)
    with pytest.raises(UserError, match=f"cloud{suffix}"):
        read_cloud(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"the file is empty \(0 bytes\)"):
        read_cloud(path)


def test_numbers_that_are_not_finite(tmp_path):
    for value in (np.nan, np.inf):
        positions = POSITIONS.copy()
        positions[17, 1] = value
        np.savez(tmp_path / "cloud.npz", positions=positions)
        with pytest.raises(UserError, match="cloud.npz: positions of point 17 is not finite"):
            read_cloud(tmp_path / "cloud.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": POSITIONS}, "no array positions. It has: points"),
        ({"positions": POSITIONS[:, :2]}, r"positions must be \(points, 3\), but are \(50, 2\)"),
        ({"positions": POSITIONS[:0]}, "the cloud is empty"),
        ({"positions": POSITIONS, "label": LABELS[:9]}, "label has 9 rows for 50 points"),
        ({"positions": POSITIONS.astype(str)}, "positions must be numbers"),
    ],
)
def test_arrays_that_are_no_cloud(arrays, message, tmp_path):
    np.savez(tmp_path / "cloud.npz", **arrays)
    with pytest.raises(UserError, match=message):
        read_cloud(tmp_path / "cloud.npz")


def test_text_faults_name_line_and_byte(tmp_path):
    path = tmp_path / "cloud.xyz"
    path.write_text("1 2 3\n4 five 6\n")
    with pytest.raises(UserError, match="line 2, at byte 6: 'five' is not a number"):
        read_cloud(path)
    path.write_text("1 2\n3 4\n")
    with pytest.raises(UserError, match="rows must have 3, 4, 6 or 7 numbers .*but have 2"):
        read_cloud(path)
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="the cloud is empty"):
        read_cloud(path)


def test_other_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_cloud(tmp_path / "cloud.ply")
    (tmp_path / "cloud.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="must be a file of points: .csv, .las"):
        read_cloud(tmp_path / "cloud.jpg")


def test_las_without_laspy(tmp_path, monkeypatch):
    write_las(tmp_path / "cloud.las")
    monkeypatch.setattr(cloud_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"need the package laspy: pip install 'tfdlcv\[pointcloud\]'"):
        read_cloud(tmp_path / "cloud.las")


@pytest.mark.parametrize("start", ["OFF\n", "OFF", "OFF # comment\n"])
def test_off_meshes(start, tmp_path):
    (tmp_path / "mesh.off").write_text(start + TETRAHEDRON)
    mesh = read_off(tmp_path / "mesh.off")
    np.testing.assert_array_equal(mesh.vertices, np.concatenate([np.zeros((1, 3)), np.eye(3)]))
    np.testing.assert_array_equal(mesh.triangles, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("PLY\n", "is not an OFF file: at byte 0 it has b'PLY"),
        ("OFF\n" + TETRAHEDRON[:-8], "cut short: it ends at byte .*, before the last face"),
        ("OFF\n4 4 6\n0 0 0\n1 0", "cut short: it ends at byte"),
        ("OFF\n" + TETRAHEDRON.replace("3 1 2 3", "3 1 2 7"), "must name vertices 0..3, but name 0..7"),
        ("OFF\n" + TETRAHEDRON.replace("0 1 0", "0 one 0"), "damaged, or cut short at byte 68: .*one"),
        ("OFF\n4 4 6\n0 0 0\n1 0 -", "mesh.off: damaged, or cut short at byte 21: .*'-'"),
        ("OFF\n4 4 6\n0 0 0\n1 0 1e", "mesh.off: damaged, or cut short at byte 22: .*'1e'"),
        ("OFF\n" + TETRAHEDRON[:-6] + "-", r"mesh.off: damaged, or cut short at byte \d+: .*'-'"),
        ("OFF\n-1 4 6\n", "damaged, or cut short at byte 11: -1 vertices and 4 faces"),
        ("OFF\n" + TETRAHEDRON.replace("0 1 0", "0 nan 0"), r"mesh.off: vertex 2 is not finite: \[0.0, nan, 0.0\]"),
        ("OFF\n" + TETRAHEDRON.replace("0 0 1", "0 0 -inf"), "mesh.off: vertex 3 is not finite: .*-inf"),
        ("OFF\n3 1 3\n0 0 0\n1 1 1\n2 2 2\n3 0 1 2\n", "mesh.off: the area .* must be finite and > 0, but is 0"),
        ("OFF\n3 1 3\n0 0 0\n1e200 0 0\n0 1e200 0\n3 0 1 2\n", "mesh.off: the area .* > 0, but is inf"),
    ],
)
def test_bad_meshes(text, message, tmp_path):
    (tmp_path / "mesh.off").write_text(text)
    with pytest.raises(UserError, match=message):
        read_off(tmp_path / "mesh.off")


SQUARE_PLY = (
    "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    "0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"
)


def test_meshes_in_ply_files_and_their_polygons(tmp_path):
    (tmp_path / "mesh.ply").write_text(SQUARE_PLY)
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.ply").triangles, [[0, 1, 2], [0, 2, 3]])
    write(tmp_path / "points.ply")
    assert read_mesh(tmp_path / "points.ply") is None is read_mesh(tmp_path / "points.xyz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("element vertex", "element corner", "mesh.ply: the PLY file has no element vertex"),
        ("property float z", "property float height", "mesh.ply: the PLY file's vertices have no z"),
        ("vertex_indices", "corners", "mesh.ply: its faces have neither vertex_indices nor vertex_index"),
        ("1 1 0\n", "1 nan 0\n", r"mesh.ply: vertex 2 is not finite: \[1.0, nan, 0.0\]"),
        ("4 0 1 2 3", "4 0 1 0 1", "mesh.ply: the area of the mesh must be finite and > 0, but is 0"),
        ("4 0 1 2 3", "4 0 1 2 4", "mesh.ply: faces must name vertices 0..3, but name 0..4"),
    ],
)
def test_bad_meshes_in_ply_files(old, new, message, tmp_path):
    (tmp_path / "mesh.ply").write_text(SQUARE_PLY.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_mesh(tmp_path / "mesh.ply")
