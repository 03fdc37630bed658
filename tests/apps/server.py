# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A real MONAI Label server on this machine, for tests and measurements."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


class Client:
    """Requests to one server."""

    def __init__(self, address: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.address, self.process, self.log = address, process, log

    def send(self, method: str, path: str, **kwargs: Any) -> Any:
        import requests

        return requests.request(method, self.address + path, timeout=120, **kwargs)

    def infer(self, model: str, image: str = "", output: str = "json", file: Path | None = None, **params: Any) -> Any:
        """``params`` must be a form field; MONAI Label ignores them elsewhere."""
        return self.infer_with(model, params, image, output, file)

    def infer_with(
        self, model: str, params: dict[str, Any], image: str = "", output: str = "json", file: Path | None = None
    ) -> Any:
        """As `infer`, with ``params`` of any name: MONAI Label lays them over the others."""
        fields: dict[str, Any] = {"params": (None, json.dumps(params))}
        if file:
            fields["file"] = (file.name, file.read_bytes())
        query = {"image": image, "output": output}
        return self.send("POST", f"/infer/{model}", params=query, files=fields)

    def save_label(self, image: str, file: Path, tag: str = "final", **params: Any) -> Any:
        fields = {"label": (file.name, file.read_bytes()), "params": (None, json.dumps(params))}
        return self.send("PUT", "/datastore/label", params={"image": image, "tag": tag}, files=fields)

    def train(self, model: str, seconds: int = 200, **params: Any) -> Any:
        """Train and wait; the last status."""
        assert self.send("POST", f"/train/{model}", json=params).status_code == 200
        return self.wait(lambda: self._ended(), seconds)

    def _ended(self) -> Any:
        status = self.send("GET", "/train/").json()
        return status if status.get("status") not in ("SUBMITTED", "RUNNING") else None

    def wait(self, found: Any, seconds: int = 120) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = found()
            if result:
                return result
            time.sleep(0.5)
        raise TimeoutError(f"nothing after {seconds} s:\n{self.log.read_text(errors='replace')[-3000:]}")


@contextmanager
def running(app: Path, studies: Path, folder: Path, *conf: str) -> Iterator[Client]:
    """Start a server, stop it at the end.

    Args:
        app: folder of the app.
        studies: folder of images.
        folder: for log and sessions.
        conf: further names and values, in turn.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join(path for path in (str(ROOT), os.environ.get("PYTHONPATH", "")) if path)
    env = {**os.environ, "PYTHONPATH": paths, "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    pairs = ["zoo_source", "local", "sam2", "false", *conf]
    options = [word for name, value in zip(pairs[::2], pairs[1::2], strict=True) for word in ("--conf", name, value)]
    place = ["--app", str(app), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "server.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "monailabel.main", "start_server", *place, *options]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    client = Client(f"http://127.0.0.1:{port}", process, log)
    try:
        client.wait(lambda: _answers(client), 180)
        yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: Client) -> bool:
    if client.process.poll() is not None:
        raise RuntimeError(f"the server ended:\n{client.log.read_text(errors='replace')[-3000:]}")
    try:
        return bool(client.send("GET", "/info/").status_code == 200)
    except OSError:
        return False


def write_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (40, 60, 3)), ("b.jpg", (50, 30, 3)), ("grey.png", (32, 48))):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(folder / name)
    volume = rng.normal(size=(20, 24, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 5.0, 1.0])), folder / "volume.nii.gz")
    return folder
