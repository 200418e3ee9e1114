import json

from benchmarks import shapes


def test_it_measures_each_size_and_writes_what_it_prints(tmp_path, capsys):
    shapes.main(["--images", "3", "--sizes", "64", "96", "--output", str(tmp_path)])
    (path,) = tmp_path.glob("shapes_*.json")
    written = json.loads(path.read_text())
    assert list(written["images_per_second"]) == ["64", "96"]
    assert all(speed > 0 for speed in written["images_per_second"].values())
    printed = capsys.readouterr().out
    assert f"96 x 96: {written['images_per_second']['96']:6.0f} images/s" in printed
