"""The benchmark of the segmentation networks: its report, its peers' form, and what really runs."""

import argparse
import json
import sys

import pytest

from benchmarks import segmentation, segmentation_contenders


def result(training, inference):
    kinds = {"training": training, "inference": inference}
    speeds = {kind: {"images_per_second": rounds[1], "rounds": rounds} for kind, rounds in kinds.items()}
    return {"trainable_parameters": 1000, "device": "cpu", "peak_memory_mib": 512, **speeds}


def test_the_table_has_networks_ratios_and_layers():
    results = {"tfdlcv": result([2.0, 3.0], [8.0, 9.0]), "torch": result([1.0, 3.0], [4.0, 3.0])}
    pairs = segmentation.classification.ratios(results, segmentation.PAIRS)
    milliseconds = {"unpooling XLA": {"forward": 1.25, "gradients": 3.5}}
    report = {
        "networks": {"float32": {"unet": {"results": results, "ratios": pairs}}},
        "layers": {"milliseconds": milliseconds},
    }
    lines = [line.split() for line in segmentation.table(report).splitlines()]
    assert ["float32", "unet", "torch", "1,000", "3.0", "3.0", "512"] in lines
    assert ["float32", "unet", "tfdlcv", "/", "torch:", "1.50,", "2.50"] in lines
    assert lines[-1] == ["unpooling", "XLA", "1.25", "3.50"]


def test_contenders_are_those_that_have_the_network(monkeypatch):
    monkeypatch.setattr(segmentation.importlib.util, "find_spec", lambda package: package != "torchvision")
    arguments = argparse.Namespace(contenders=None)
    assert segmentation.contenders(arguments, "unet") == ["tfdlcv"]
    assert segmentation.contenders(arguments, "deeplab_v3_stride32") == ["tfdlcv", "keras_hub"]
    arguments.contenders = ["torch", "keras_hub"]
    assert segmentation.contenders(arguments, "deeplab_v3") == ["torch"]


def test_pytorch_s_u_net_has_as_many_parameters():
    pytest.importorskip("torch")
    network = segmentation_contenders.torch_unet(1.0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_033_045


def test_a_contender_and_the_layers_run_and_are_written_down(monkeypatch, tmp_path, capsys):
    options = {
        "--contenders": "tfdlcv",
        "--image-size": 32,
        "--batch-size": 1,
        "--steps": 1,
        "--batches": 1,
        "--rounds": 1,
        "--width": 1 / 16,
        "--output": tmp_path,
    }
    command = ["segmentation", "--parts", "unet", "layers", *(str(part) for item in options.items() for part in item)]
    monkeypatch.setattr(sys, "argv", command)
    segmentation.main()
    (path,) = tmp_path.glob("segmentation_*.json")
    report = json.loads(path.read_text())
    found = report["networks"]["float32"]["unet"]["results"]["tfdlcv"]
    assert found["trainable_parameters"] > 100_000 and len(found["training"]["rounds"]) == 1
    assert found["peak_memory_mib"] >= found["peak_memory_before_training_mib"] > 0
    ways = {f"{layer} {way}" for layer in ("unpooling", "pyramid") for way in ("eager", "graph", "XLA")}
    assert {*report["layers"]["milliseconds"]} == ways | {"unpooling argmax, scatter"}
    assert "unpooling XLA" in capsys.readouterr().out
