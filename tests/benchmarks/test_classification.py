"""The benchmark of the classification networks: its ratios, its report, and one contender that really runs."""

import json
import sys

import pytest

from benchmarks import classification, classification_contenders
from tfdlcv import models


def result(training, inference):
    kinds = {"training": training, "inference": inference}
    speeds = {kind: {"images_per_second": rounds[1], "rounds": rounds} for kind, rounds in kinds.items()}
    return {"trainable_parameters": 1000, "device": "cpu", **speeds}


RESULTS = {
    "tfdlcv": result([10.0, 20.0, 12.0], [30.0, 30.0, 60.0]),
    "keras": result([5.0, 20.0, 8.0], [30.0, 15.0, 60.0]),
    "torch": result([5.0, 20.0, 8.0], [30.0, 15.0, 60.0]),
}


def test_ratios_are_medians_of_the_rounds_ratios_of_networks_of_one_form():
    assert classification.ratios(RESULTS) == {"tfdlcv / keras": {"training": 1.5, "inference": 1.0}}


def test_the_table_has_every_contender_and_ratio():
    entry = {"results": RESULTS, "ratios": classification.ratios(RESULTS)}
    lines = classification.table({"networks": {"float32": {"resnet50": entry}}}).splitlines()
    assert lines[1].split() == ["float32", "resnet50", "tfdlcv", "1,000", "20.0", "30.0"]
    assert lines[-1] == "  float32 resnet50 tfdlcv / keras: 1.50, 1.00"


def test_a_report_goes_on_only_with_the_same_settings(tmp_path):
    facts = {"machine": {"cores": 2}, "settings": {"rounds": 3}}
    path = tmp_path / "report.json"
    assert classification.continued(path, facts) == {**facts, "networks": {}}
    report = {**facts, "networks": {"float32": {"mobilenet": {}}}}
    path.write_text(json.dumps(report))
    assert classification.continued(path, facts) == report
    assert classification.continued(path, {**facts, "settings": {"rounds": 5}})["networks"] == {}


@pytest.mark.parametrize("name", classification_contenders.NETWORKS)
def test_every_network_has_a_function_with_both_forms(name):
    entry = classification_contenders.NETWORKS[name]
    function = getattr(models, entry["function"])
    for form in ("as_keras", "as_torch"):
        assert {*entry[form]} <= {*function.__kwdefaults__}


def test_a_contender_trains_infers_and_is_written_down(monkeypatch, tmp_path, capsys):
    options = {
        "--networks": "mobilenet",
        "--contenders": "tfdlcv",
        "--image-size": 32,
        "--batch-size": 2,
        "--steps": 1,
        "--batches": 1,
        "--rounds": 2,
        "--output": tmp_path,
    }
    monkeypatch.setattr(sys, "argv", ["classification", *(str(part) for item in options.items() for part in item)])
    classification.main()
    (path,) = tmp_path.glob("classification_*.json")
    result = json.loads(path.read_text())["networks"]["float32"]["mobilenet"]["results"]["tfdlcv"]
    assert result["trainable_parameters"] == 4_231_976
    assert all(len(result[kind]["rounds"]) == 2 for kind in ("training", "inference"))
    assert "mobilenet" in capsys.readouterr().out
