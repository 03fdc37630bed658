# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle as users run it: train, evaluate, predict, resume; on made-up images with the tiny backbone."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError
from monai_vlsm.data import DatasetProblems
from monai_vlsm.handlers import NonFiniteError
from tests import tiny
from tests.bundles.dataset import break_dataset, write_dataset
from tests.folders import visible

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
TRAIN, EVALUATE, INFERENCE = (BUNDLE / "configs" / f"{name}.json" for name in ("train", "evaluate", "inference"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def settings(data: Path, backbone: Path) -> dict[str, Any]:
    """Small enough to train in a second."""
    return {
        "dataset_dir": str(data),
        "backbone": str(backbone),
        "adapter_width": 4,
        "epochs": 2,
        "batch_size": 4,
        "num_workers": 0,
        "amp": False,
        "device": torch.device("cpu"),
    }


def run(configs: list[Path], folder: Path, **override: Any) -> Path:
    """Run configs with everything they write going to ``folder``."""
    override = {"output_dir": str(folder), **override}
    if configs[0] == TRAIN:
        override = {"ckpt_dir": str(folder / "models"), **override}
    kind = "train" if configs[0] == TRAIN else "infer"
    files = [str(config) for config in configs]
    workflow = ConfigWorkflow(files, workflow_type=kind, bundle_root=str(BUNDLE), logging_file=False, **override)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return folder


@pytest.fixture(scope="module")
def trained(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run([TRAIN], tmp_path_factory.mktemp("trained"), **settings)


def weights(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "models" / "model.pt", weights_only=True)


def last(folder: Path) -> dict[str, Any]:
    """The adapters at the end of a run, which need not be the best ones in model.pt."""
    state: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)["objects"]["model"]
    return state


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    assert set(first) == set(second)
    return all(torch.equal(first[name], second[name]) for name in first if name != SETTINGS_KEY)


def without_data(settings: dict[str, Any]) -> dict[str, Any]:
    """What evaluation and inference must find in model.pt by themselves."""
    return {name: settings[name] for name in ("amp", "device")}


def test_files_of_a_run(trained: Path, backbone: Path) -> None:
    assert {path.name for path in (trained / "models").iterdir()} == {"model.pt"}
    assert weights(trained)[SETTINGS_KEY]["backbone"] == str(backbone)
    assert all(value.dtype == torch.float32 for name, value in weights(trained).items() if name != SETTINGS_KEY)
    assert {"last.pt", "metrics.csv", "metrics.json", "curves.png"} <= {path.name for path in trained.iterdir()}
    assert len(list(trained.glob("events.out.tfevents.*"))) > 0
    overlays = list((trained / "overlays").glob("*.png"))
    assert len(overlays) == 4
    with Image.open(overlays[0]) as image:
        assert min(image.size) > 200


def test_scores_are_at_original_size(trained: Path, data: Path) -> None:
    rows = list(csv.DictReader((trained / "metrics.csv").open(encoding="utf-8")))
    truth = [
        structure["mask"] for row in json.loads((data / "val.json").read_text()) for structure in row["structures"]
    ]
    assert [int(row["truth_pixels"]) for row in rows] == [
        int((np.asarray(Image.open(data / m)) > 0).sum()) for m in truth
    ]
    mean = json.loads((trained / "metrics.json").read_text())["mean"]
    assert mean["val_dice"] == pytest.approx(np.mean([float(row["val_dice"]) for row in rows]), abs=1e-5)
    assert set(mean) == {"val_dice", "val_iou", "val_hd95", "val_loss"}


def test_same_seed_same_model(settings: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    assert same(last(run([TRAIN], tmp_path / "again", **settings)), last(trained))
    assert not same(last(run([TRAIN], tmp_path / "other", **{**settings, "seed": 42})), last(trained))


def test_resume_is_bit_exact(settings: dict[str, Any], tmp_path: Path) -> None:
    settings = {**settings, "epochs": 2, "learning_rate": 0.02}
    straight = run([TRAIN], tmp_path / "straight", **settings)
    stopped = run([TRAIN], tmp_path / "stopped", **{**settings, "epochs": 1})
    assert not same(last(stopped), last(straight))
    told = {name: value for name, value in settings.items() if name not in ("backbone", "adapter_width")}
    run([TRAIN], stopped, **told, resume=True)  # the network is that of the run
    assert same(weights(stopped), weights(straight))
    assert same(last(stopped), last(straight))


@pytest.mark.parametrize("given", [{}, {"amp": False}], ids=["as it was", "float32"])
def test_a_run_of_a_gpu_goes_on_here(settings: dict[str, Any], tmp_path: Path, given: dict[str, Any]) -> None:
    run([TRAIN], tmp_path, **{**settings, "epochs": 1, "amp": True, "half": "float16"})
    assert last(tmp_path)[SETTINGS_KEY]["amp_dtype"] == "float16"
    run([TRAIN], tmp_path, **{name: value for name, value in settings.items() if name != "amp"}, **given, resume=True)


def test_structures_together(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = run([TRAIN], tmp_path, **settings, multi_prompt=True)
    rows = list(csv.DictReader((folder / "metrics.csv").open(encoding="utf-8")))
    assert [row["prompt"] for row in rows] == ["left polyp", "right polyp"] * 2


def test_batch_larger_than_the_dataset(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = run([TRAIN], tmp_path, **{**settings, "batch_size": 1000})
    assert torch.load(folder / "last.pt", weights_only=True)["epoch_length"] == 1


def test_evaluate_builds_what_model_pt_says(
    settings: dict[str, Any], trained: Path, data: Path, tmp_path: Path
) -> None:
    folder = run(
        [TRAIN, EVALUATE],
        tmp_path,
        **without_data(settings),
        dataset_dir=str(data),
        num_workers=0,
        ckpt_dir=str(trained / "models"),
    )
    scores = [json.loads((path / "metrics.json").read_text())["mean"] for path in (folder, trained)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_zero_shot(settings: dict[str, Any], tmp_path: Path) -> None:
    run([TRAIN, EVALUATE], tmp_path, **settings, zero_shot=True)
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.parametrize("config", ["evaluate", "inference"])
def test_without_model(config: str, settings: dict[str, Any], tmp_path: Path) -> None:
    configs = [TRAIN, EVALUATE] if config == "evaluate" else [INFERENCE]
    with pytest.raises(RuntimeError) as raised:
        run(configs, tmp_path / "out", **without_data(settings), model_file=str(tmp_path / "model.pt"))
    cause = raised.value.__cause__
    assert isinstance(cause, FileNotFoundError)
    assert "configs/train.json" in str(cause)
    assert "--zero_shot True" in str(cause)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"seed": 5}, "another base"),
        ({"adaptation": DenseAdaptation("v", width=4)}, "another adaptation"),
    ],
)
def test_model_of_another_network(
    override: dict[str, Any], message: str, settings: dict[str, Any], trained: Path, data: Path, tmp_path: Path
) -> None:
    if "seed" in override:
        override = {"backbone": str(tiny.write_backbone(tmp_path / "other", **override))}
    with pytest.raises(RuntimeError) as raised:
        run(
            [TRAIN, EVALUATE],
            tmp_path / "out",
            **{**without_data(settings), **override},
            dataset_dir=str(data),
            num_workers=0,
            model_file=str(trained / "models" / "model.pt"),
        )
    assert isinstance(raised.value.__cause__, ModelMismatchError)
    assert message in str(raised.value.__cause__)


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(1)
    Image.fromarray(generator.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(folder / "wide.png")
    Image.fromarray(generator.integers(0, 255, (70, 30), dtype=np.uint8)).save(folder / "tall.jpg")
    affine = np.array([[-2.0, 0, 0, 30], [0, 1.5, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(generator.random((20, 30, 5), dtype=np.float32), affine), folder / "scan.nii.gz")
    return folder


def test_inference(settings: dict[str, Any], trained: Path, folder_of_images: Path, tmp_path: Path) -> None:
    arguments = {**without_data(settings), "model_file": str(trained / "models" / "model.pt")}
    run([INFERENCE], tmp_path, **arguments, dataset_dir=str(folder_of_images), prompt=["left polyp", "right polyp"])
    names = ["labels", "left_polyp", "right_polyp"]
    expected = {f"{image}_{name}.png" for image in ("wide", "tall") for name in names}
    expected |= {f"scan_{name}.nii.gz" for name in names} | {"existence.csv"}
    assert visible(tmp_path) == expected
    assert Image.open(tmp_path / "wide_labels.png").size == (60, 40)
    assert Image.open(tmp_path / "tall_left_polyp.png").size == (30, 70)
    scan, mask = nibabel.load(folder_of_images / "scan.nii.gz"), nibabel.load(tmp_path / "scan_labels.nii.gz")
    assert mask.shape == scan.shape
    assert np.array_equal(mask.affine, scan.affine)
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2}


def test_one_prompt_writes_one_mask(
    settings: dict[str, Any], trained: Path, folder_of_images: Path, tmp_path: Path
) -> None:
    arguments = {**without_data(settings), "model_file": str(trained / "models" / "model.pt")}
    run([INFERENCE], tmp_path, **arguments, dataset_dir=str(folder_of_images / "wide.png"), prompt="polyp")
    assert visible(tmp_path) == {"existence.csv", "wide_polyp.png"}


def test_all_faults_are_listed_and_nothing_is_written(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data")
    names = break_dataset(folder)
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], tmp_path / "out", **{**settings, "dataset_dir": str(folder)})
    error = raised.value.__cause__
    assert isinstance(error, DatasetProblems)
    lines = str(error).splitlines()
    for name in names:
        assert sum(name in line for line in lines) == 1, name
    assert not (tmp_path / "out").exists()


def test_unknown_style_lists_the_known(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], tmp_path, **settings, val_style="p7")
    chain, error = [], raised.value
    while error is not None:
        chain.append(str(error))
        error = error.__cause__
    assert any("p7" in text and "p1" in text and "p2" in text for text in chain)


def test_nan_loss_stops(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], tmp_path, **{**settings, "learning_rate": 1e30})
    error = raised.value.__cause__
    assert isinstance(error, NonFiniteError)
    assert "epoch 1, batch 2" in str(error)
    assert "train_" in str(error)
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert last["epoch"] == 0
    assert all(torch.isfinite(v).all() for n, v in last["objects"]["model"].items() if n != SETTINGS_KEY)


def command(config: str, settings: dict[str, Any], folder: Path, **override: Any) -> list[str]:
    """The command line that a user would type."""
    values = {**settings, "output_dir": str(folder), "ckpt_dir": str(folder / "models"), **override}
    del values["device"]
    pairs = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "--config_file", config, *pairs]


def environment() -> dict[str, str]:
    root = str(BUNDLE.parents[1])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
def test_ctrl_c_and_the_printed_command(settings: dict[str, Any], tmp_path: Path) -> None:
    """SIGINT in the second epoch: exit status 130, ``last.pt``, and a command that finishes the run bit-exactly."""
    settings = {**settings, "epochs": 40, "early_stop": 100}
    process = subprocess.Popen(
        command(str(TRAIN), settings, tmp_path / "stopped"),
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs inherit SIG_IGN
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    _wait_for_an_epoch(tmp_path / "stopped" / "last.pt", process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    _, *head = output[: output.index("epoch 1")].splitlines()  # the first line is MONAI's warning
    said = [line.partition(":")[0] for line in head]
    assert said[:5] == ["device", "data", "network", "results", "warning"] and set(said[5:]) <= {"cache memory"}
    assert process.returncode == 130, output
    line = next(line for line in output.splitlines() if "--resume True" in line)
    epoch = torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)["epoch"]
    assert 1 <= epoch < 40
    resume = line[line.index("monai.bundle") :].split()
    more = [*resume, "--epochs", str(epoch + 2)]
    subprocess.run([sys.executable, "-m", *more], env=environment(), check=True, capture_output=True, timeout=120)
    straight = run([TRAIN], tmp_path / "straight", **{**settings, "epochs": epoch + 2})
    assert same(weights(tmp_path / "stopped"), weights(straight))
    assert same(last(tmp_path / "stopped"), last(straight))


def _wait_for_an_epoch(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.is_file() or torch.load(path, weights_only=True)["epoch"] < 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_two_processes(settings: dict[str, Any], tmp_path: Path) -> None:
    """multi_gpu_train.json and multi_gpu_evaluate.json under torchrun, on two CPU processes."""
    for configs, folder in (
        ([TRAIN, TRAIN.with_name("multi_gpu_train.json")], tmp_path / "train"),
        ([TRAIN, EVALUATE, TRAIN.with_name("multi_gpu_evaluate.json")], tmp_path / "evaluate"),
    ):
        names = str([str(config) for config in configs])
        user = command(names, settings, folder, ckpt_dir=str(tmp_path / "models"))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *user[1:]]
        result = subprocess.run(torchrun, env=environment(), capture_output=True, text=True, timeout=240)
        assert result.returncode == 0, result.stdout + result.stderr
    scores = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("train", "evaluate")]
    assert scores[0]["mean"] == pytest.approx(scores[1]["mean"], abs=1e-4)
    assert scores[1]["masks"] == 4
    probes = list(csv.DictReader((tmp_path / "evaluate" / "probes.csv").open(encoding="utf-8")))
    assert sorted(row["name"] for row in probes) == ["val_0_left", "val_0_right", "val_1_left", "val_1_right"]


def test_started_by_another_program(settings: dict[str, Any], tmp_path: Path) -> None:
    """A program such as MonaiAlgo takes the trainer from the config and runs it; the early stop must work there."""
    arguments = {**settings, "epochs": 50, "early_stop": 2, "learning_rate": 0.0}
    workflow = ConfigWorkflow(
        str(TRAIN),
        logging_file=False,
        bundle_root=str(BUNDLE),
        output_dir=str(tmp_path),
        ckpt_dir=str(tmp_path),
        **arguments,
    )
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.run()
    assert trainer.state.epoch == 3


@pytest.mark.slow
def test_travels_alone(settings: dict[str, Any], trained: Path, folder_of_images: Path, tmp_path: Path) -> None:
    """A copy of the bundle's folder works elsewhere, run from within it."""
    copy = Path(shutil.copytree(BUNDLE, tmp_path / "bundle", ignore=shutil.ignore_patterns("models", "eval")))
    shutil.copytree(trained / "models", copy / "models")
    arguments = ["--dataset_dir", str(folder_of_images), "--prompt", "polyp", "--config_file", "configs/inference.json"]
    call = [sys.executable, "-m", "monai.bundle", "run", *arguments]
    subprocess.run(call, cwd=copy, env=environment(), check=True, capture_output=True, timeout=120)
    assert (copy / "eval" / "predictions" / "wide_polyp.png").is_file()


@pytest.mark.slow
def test_command_line_shows_the_faults_alone(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data")
    names = break_dataset(folder)
    arguments = command(str(TRAIN), {**settings, "dataset_dir": str(folder)}, tmp_path / "out")
    result = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    lines = result.stderr[result.stderr.index("error: ") :].strip().splitlines()
    assert len(lines) == 1 + len(names)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_missing_weights_in_at_most_eight_lines(settings: dict[str, Any], tmp_path: Path) -> None:
    arguments = command(str(TRAIN), {**settings, "backbone": "CIDAS/clipseg-rd64-refined"}, tmp_path / "out")
    offline = {**environment(), "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(arguments, env=offline, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    lines = result.stderr[result.stderr.index("error: ") :].strip().splitlines()
    assert len(lines) <= 8
    assert "CIDAS/clipseg-rd64-refined" in lines[0]
    assert not (tmp_path / "out").exists()
