"""Denoising by networks beside non-local means, and principal components beside autoencoders; resumable.

    python -m benchmarks.restoration_results                    # what is missing; about 75 minutes on two cores
    python -m benchmarks.restoration_results --only dncnn/25    # one row
    python -m benchmarks.restoration_results --table            # what is done

denoising: mean PSNR and SSIM over the whole test photographs at sigma 15, 25 and 50, of the networks of
configs/restoration, trained for one sigma each, and of non-local means told sigma, in both of scikit-image's forms. The
strength of non-local means is the best of several for the validation photograph, at each sigma; nothing is chosen by
the test photographs. All methods get the same noisy photographs, not cut to 0..255, and what they return is rounded to
bytes. codes: reconstruction of the 1,000 test digits of mnist5k from so many numbers, by principal components and by
the dense autoencoder, and of digits with noise.

Each row is computed once; an interrupted training resumes. results/restoration.json.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import numpy as np

from benchmarks.train_step import ROOT, machine

OUTPUT = ROOT / "benchmarks" / "results" / "restoration.json"
SIGMAS = (15, 25, 50)
CODE_SIZES = (2, 10, 30)
DIGIT_SIGMAS = (0, 50)
NETWORKS = {
    "dncnn": "configs/restoration/dncnn_photographs.yaml",
    "denoising_autoencoder": "configs/restoration/denoising_autoencoder_photographs.yaml",
}
AUTOENCODER = "configs/restoration/autoencoder_mnist5k.yaml"
STRENGTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)  # Of non-local means, in units of sigma.
PACKAGES = ("tensorflow", "keras", "numpy", "scikit-image", "scikit-learn")


def rows() -> list[str]:
    """The names of all rows, the quick ones first."""
    names = [f"{method}/{sigma}" for sigma in SIGMAS for method in ("noisy", "non_local_means", "non_local_means_slow")]
    names += [f"codes/{method}/{sigma}/{size}" for sigma in DIGIT_SIGMAS for size in CODE_SIZES for method in _CODERS]
    return names + [f"{network}/{sigma}" for sigma in (25, 15, 50) for network in NETWORKS]


def main():
    """Computes what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ROW", help=f"of: {', '.join(rows())}")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "saved_models" / "benchmark_restoration")
    parser.add_argument("--override", nargs="*", default=[], help="changes of the configs; for tests")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only or () if name not in rows()]
    if unknown:
        sys.exit(f"no row {', '.join(unknown)}; there are: {', '.join(rows())}")
    report = json.loads(arguments.output.read_text()) if arguments.output.is_file() else {"rows": {}}
    for name in () if arguments.table else arguments.only or rows():
        if name not in report["rows"]:
            report["rows"][name] = row = compute(name, arguments)
            row |= {"seed": arguments.seed, "date": datetime.date.today().isoformat()}
            report |= {"machine": machine(), "versions": {name: importlib.metadata.version(name) for name in PACKAGES}}
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(report, indent=1) + "\n")
            print(f"{name}: {row['psnr']:.2f} dB", flush=True)
    print(tables(report["rows"]))


def compute(name: str, arguments) -> dict:
    """One row of a table."""
    parts = name.split("/")
    if parts[0] == "codes":
        return _CODERS[parts[1]](int(parts[2]), int(parts[3]), arguments)
    sigma = int(parts[1])
    if parts[0] in NETWORKS:
        return trained_restorer(parts[0], sigma, arguments)
    return untrained_restorer(parts[0], sigma)


def untrained_restorer(method: str, sigma: int) -> dict:
    """Noise as it is, or non-local means."""
    from tfdlcv.systems.classical_restoration import non_local_means

    if method == "noisy":
        return score(lambda image: image, sigma, "test")
    fast = method == "non_local_means"
    of_strength = {
        strength: score(
            lambda image, strength=strength: non_local_means(image, sigma, strength=strength, fast=fast),
            sigma,
            "validation",
        )["psnr"]
        for strength in STRENGTHS
    }
    best = max(of_strength, key=of_strength.get)
    row = score(lambda image: non_local_means(image, sigma, strength=best, fast=fast), sigma, "test")
    return {"strength": best, "validation_psnr_of_strengths": of_strength, **row}


def trained_restorer(network: str, sigma: int, arguments) -> dict:
    """A network that was trained for `sigma`."""
    from tfdlcv.systems.restoration import denoise
    from tfdlcv.training import resuming

    overrides = [f"data.noise.sigma={sigma}", f"trainer.seed={arguments.seed}", *arguments.override]
    run_dir = arguments.runs / f"{network}_{sigma}_{arguments.seed}"
    results, command = train(NETWORKS[network], run_dir, overrides)
    _, config, _, task, facts = resuming.load_run(run_dir)
    row = score(denoise.network_restorer(config, facts, task), sigma, "test")
    return {**row, **_of_training(results), "command": command}


def score(restore, sigma: int, part: str) -> dict:
    """Mean PSNR and SSIM, and those of each photograph, of `restore`, image (H, W, C) float32 -> restored."""
    from tfdlcv.systems.image_restoration import as_pixels, scores

    each, seconds = {}, 0.0
    for name, truth, noisy in noisy_photographs(sigma, part):
        start = time.perf_counter()
        restored = as_pixels(restore(noisy))
        seconds += time.perf_counter() - start
        each[name] = {key: round(value, 4) for key, value in scores(truth, restored).items()}
    means = {key: round(float(np.mean([values[key] for values in each.values()])), 4) for key in ("psnr", "ssim")}
    return {**means, "photographs": each, "seconds_to_restore": round(seconds, 2)}


def noisy_photographs(sigma: int, part: str):
    """Name, truth (H, W, 1) uint8 and noisy (H, W, 1) float32 of the whole grey photographs of a part."""
    from tfdlcv.data.photographs import ShippedPhotographs, read_shipped

    config = ShippedPhotographs(name="photographs")
    for index, name in enumerate(config.test_names if part == "test" else config.validation):
        truth = read_shipped(name, channels=1).pixels
        noise = np.random.default_rng([sigma, index]).normal(scale=sigma, size=truth.shape)
        yield name, truth, (truth + noise).astype(np.float32)


def principal_components(sigma: int, code_size: int, arguments) -> dict:
    """Fitted to the clean training digits."""
    from tfdlcv.config import load_config
    from tfdlcv.systems.classical_restoration import PrincipalComponents
    from tfdlcv.systems.restoration import denoise

    datasets = denoise.build_datasets(load_config(ROOT / AUTOENCODER, _digits(sigma, code_size, arguments)))
    start = time.perf_counter()
    components = PrincipalComponents.fit(denoise.training_targets(datasets), code_size)
    seconds = time.perf_counter() - start
    batch = datasets.test.fetch(np.arange(datasets.test.num_examples))
    restored = np.clip(components.restore(batch["image"].numpy()), 0, 255)
    errors = np.mean((restored - batch["target"].numpy()) ** 2, axis=(1, 2, 3))
    return {"psnr": round(float(np.mean(10 * np.log10(255**2 / errors))), 4), "train_seconds": round(seconds, 2)}


def autoencoder(sigma: int, code_size: int, arguments) -> dict:
    """The dense autoencoder, trained to return the clean digits."""
    run_dir = arguments.runs / f"autoencoder_{sigma}_{code_size}_{arguments.seed}"
    overrides = [*_digits(sigma, code_size, arguments), f"trainer.seed={arguments.seed}"]
    results, command = train(AUTOENCODER, run_dir, overrides)
    return {"psnr": round(results["test"]["psnr"], 4), **_of_training(results), "command": command}


_CODERS = {"principal_components": principal_components, "autoencoder": autoencoder}


def _digits(sigma: int, code_size: int, arguments) -> list[str]:
    noise = [f"data.noise={{sigma: {sigma}}}"] if sigma else []
    return [f"model.code_size={code_size}", *noise, *arguments.override]


def _of_training(results: dict) -> dict:
    return {
        "parameters": results["parameters"],
        "epochs": results["epochs"],
        "steps": results["steps"],
        "train_seconds": round(results["train_seconds"], 1),
    }


def train(config: str, run_dir: pathlib.Path, overrides: list[str]) -> tuple[dict, str]:
    """Trains in a process of its own, or finds it done. Returns metrics.json and the command."""
    words = ["train.py", config, *overrides, f"trainer.run_dir={run_dir}"]
    if not (run_dir / "metrics.json").is_file():
        subprocess.run([sys.executable, *words], cwd=ROOT, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, check=True)
    return json.loads((run_dir / "metrics.json").read_text()), shlex.join(["python", *words[:-1]])


def tables(done: dict) -> str:
    """The report as text."""
    lines = ["PSNR / SSIM of      " + "".join(f"{f'sigma {sigma}':>18}" for sigma in SIGMAS)]
    for method in ("noisy", "non_local_means", "non_local_means_slow", *NETWORKS):
        cells = [done.get(f"{method}/{sigma}") for sigma in SIGMAS]
        texts = [f"{cell['psnr']:.2f} / {cell['ssim']:.4f}" if cell else "" for cell in cells]
        lines.append(f"{method:<22}" + "".join(f"{text:>18}" for text in texts))
    lines += ["", "PSNR of digits from   " + "".join(f"{f'{size} numbers':>14}" for size in CODE_SIZES)]
    for sigma in DIGIT_SIGMAS:
        for method in _CODERS:
            cells = [done.get(f"codes/{method}/{sigma}/{size}") for size in CODE_SIZES]
            texts = [f"{cell['psnr']:.2f}" if cell else "" for cell in cells]
            label = f"{method}{f', sigma {sigma}' if sigma else ''}"
            lines.append(f"{label:<32}" + "".join(f"{text:>14}" for text in texts))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
