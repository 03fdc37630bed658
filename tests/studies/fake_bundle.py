# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stands for ``python -m monai.bundle``: writes in a moment what a training or an evaluation writes.

What it does besides, the name of the bundle says; every start adds a line to ``starts.txt`` beside the bundles.
"""

import hashlib
import json
import math
import os
import sys
import time
from pathlib import Path

HEADER = "name,dataset,structure,style,tag,prompt,truth_pixels,pred_pixels,truth_empty,pred_empty"
HEADER += ",val_dice,val_iou,val_hd95"

FAILURES = {
    "broken": "first line\nerror: the list is empty; look at it\n  more of it",
    "in_use": "error: another run (process 7 on n1) writes to the folder; wait for its end",
    "full": "error: cannot write last.pt: No space left on device; make room",
    "no_gpu": "error: device: expected a device that is there (cpu), got 'cuda'",
    "no_server": "mlflow.exceptions.MlflowException: API request to http://t:1/api failed with exception X",
    "late_server": "mlflow.exceptions.MlflowException: API request to http://t:1/api failed with timeout exception X.",
    "refusing_server": "mlflow.exceptions.MlflowException: API request to endpoint /api failed with error code 403",
    "lost_gpu": "AcceleratorError: CUDA error: no CUDA-capable device is detected\nCompile with TORCH_USE_CUDA_DSA",
}


def main(words: list[str]) -> None:
    """``run --config_file=[...] --name=value ...``."""
    values = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    config = Path(values["config_file"].strip("[]").split(",")[0].strip("' "))
    bundle, evaluates = config.parents[1].name, "evaluate.json" in values["config_file"]
    kind = "evaluate" if evaluates else "resume" if values.get("resume") == "True" else "train"
    with (config.parents[2] / "starts.txt").open("a", encoding="utf-8") as file:
        file.write(f"{bundle} {values['seed']} {kind} {Path(values['dataset_dir']).name}\n")
    output = Path(values["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    if bundle in FAILURES:
        sys.exit(FAILURES[bundle])
    rate = float(values.get("learning_rate", 0.001))
    if rate > 0.05:
        sys.exit("error: the loss is nan in epoch 1, batch 1; lower the learning rate")
    if evaluates:
        evaluate(output, bundle, values)
    else:
        train(output, bundle, int(values.get("epochs", 2)), rate)


def train(output: Path, bundle: str, epochs: int, rate: float) -> None:
    """One epoch takes a moment, of the bundle ``slow`` half a second; the best learning rate is a thousandth."""
    state = output / "last.pt"
    print("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS"))
    print("INFO network: Net, backbone b, 1,234 of 5,678 parameters are trainable", flush=True)
    for epoch in range(int(state.read_text()) if state.is_file() else 0, epochs):
        state.write_text(str(epoch))
        time.sleep(0.5 if bundle == "slow" else 0.02)
        state.write_text(str(epoch + 1))
    (output / "model.pt").write_text("weights")
    dice = 0.9 - abs(math.log10(rate / 0.001)) / 10
    scores = {"tags": ["class"], "by_tag": {"class": {"mean": {"val_dice": dice}}}}
    if bundle != "blind":
        (output / "metrics.json").write_text(json.dumps(scores))


def evaluate(output: Path, bundle: str, values: dict[str, str]) -> None:
    """Scores of twelve images that depend on the bundle and the seed."""
    styles = json.loads(values["styles"].replace("'", '"'))
    lines = [HEADER]
    for style in styles:
        for image in range(12):
            dice = 0.5 + image / 40 + int(values["seed"]) % 10 / 100 + len(bundle) / 100
            tag = "class" if style == "p1" else "mask-derived"
            score = "nan" if bundle == "nan" else f"{dice:.6f}"
            data = Path(values["dataset_dir"]).name
            lines.append(f"img{image},{data},0,{style},{tag},polyp,100,90,0,0,{score},{score},{10 * (1 - dice):.6f}")
    table = ("\n".join(lines) + "\n").encode()
    (output / "metrics.csv").write_bytes(table)
    digest = hashlib.blake2b(table, digest_size=16).hexdigest()
    facts = {"styles": styles, "data": "d1", "model": "m1", "split": values["val_split"], "versions": {"torch": "2"}}
    (output / "run.json").write_text(json.dumps({**facts, "files": {"metrics.csv": digest}}))


if __name__ == "__main__":
    main(sys.argv[1:])
