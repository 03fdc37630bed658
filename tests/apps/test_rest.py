# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The app in a real server: what clients do, and what nobody should."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_vlsm.apps.label import install_app
from tests.apps.server import Client, running

pytest.importorskip("monailabel")

HOSTILE = {
    "dollar": "$__import__('os').system('touch evaluated')",
    "at": "@device",
    "percent": "%/etc/hostname",
    "newline": "a\nb",
    "unicode": "Läsion 病变 🩺",
    "quotes": "a \"b\" 'c' \\",
    "empty": "",
}


def write_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("a.png", (40, 60, 3)), ("b.jpg", (50, 30, 3)), ("grey.png", (32, 48))):
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(folder / name)
    volume = rng.normal(size=(20, 24, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 5.0, 1.0])), folder / "volume.nii.gz")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rest")


@pytest.fixture(scope="module")
def client(place: Path, bundle: Path, adapter: Path) -> Iterator[Client]:
    app = install_app(place / "app", [bundle], [adapter])
    (app / "prompts.json").write_text(json.dumps({"polyp": "one small polyp", "brain": "brain"}))
    write_images(place / "studies")
    with running(app, place / "studies", place, "epistemic_model", "second", "epistemic_simulation_size", "2") as found:
        yield found


def mask_of(response: Any) -> np.ndarray:
    assert response.status_code == 200, response.text[:300]
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_info(client: Client) -> None:
    models = client.send("GET", "/info/").json()["models"]
    assert set(models) == {f"{name}{end}" for name in ("vlsm_dense", "second") for end in ("", "_polyp", "_brain")}
    assert models["second"]["config"]["prompt"] == "polyp"
    assert models["second"]["config"]["preset"][1:] == ["polyp", "brain"]
    assert models["second_brain"]["labels"] == {"brain": 1}
    assert "prompt" not in models["second_brain"]["config"]
    assert all(model["type"] == "segmentation" for model in models.values())


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_prompts_are_plain_text(client: Client, place: Path, kind: str) -> None:
    response = client.infer("second", "a", prompt=HOSTILE[kind])
    assert response.status_code == 200
    assert response.json()["prompt"] == HOSTILE[kind]
    assert not (place / "evaluated").exists()


@pytest.mark.parametrize(("sent", "used"), [(7, "7"), (None, "polyp"), ("x" * 5000, "x" * 2000)])
def test_other_prompts(client: Client, sent: Any, used: str) -> None:
    assert client.infer("second", "a", prompt=sent).json()["prompt"] == used


def test_presets_and_targets(client: Client) -> None:
    answers = [
        client.infer("second", "a", prompt="x", preset="polyp"),
        client.infer("second", "a", prompt="x", preset=["(what is typed above)", "polyp"]),
        client.infer("second", "a", prompt="x", preset="unknown"),
        client.infer("second_polyp", "a", prompt="x"),
    ]
    assert [answer.json()["prompt"] for answer in answers] == ["one small polyp", "x", "x", "one small polyp"]
    assert [answer.json()["label_names"] for answer in answers[2:]] == [{"x": 1}, {"polyp": 1}]


def existence(client: Client, model: str) -> float:
    """How sure a model is of its default prompt: differs even where masks are equally full."""
    (score,) = client.infer(model, "a").json()["existence"]
    return float(score)


def test_adapters_differ(client: Client) -> None:
    assert existence(client, "vlsm_dense") != existence(client, "second")
    assert mask_of(client.infer("second", "a", "image")).shape == (40, 60)


def test_polygons_as_cvat_wants_them(client: Client, place: Path) -> None:
    """As MONAI Label's own functions for CVAT ask, which send a file and this one parameter."""
    file, asked = place / "studies" / "b.jpg", {"params": (None, '{"output": "json"}')}
    answer = client.send("POST", "/infer/second_brain", files={**asked, "file": (file.name, file.read_bytes())})
    assert answer.status_code == 200
    (annotation,) = answer.json()["annotations"]
    mask = mask_of(client.infer("second_brain", file=file, output="image"))
    elements = annotation["annotation"]["elements"]
    assert [element["label"] for element in elements] == (["brain"] if mask.sum() > 4 else [])
    for x, y in (point for element in elements for contour in element["contours"] for point in contour):
        assert 0 <= x <= 30
        assert 0 <= y <= 50
    volume = client.send("POST", "/infer/second_brain?image=volume", files=asked)
    assert volume.status_code == 400


@pytest.mark.parametrize("image", ["nothing", "/etc/hostname", "../studies/a", "/"])
def test_images_of_nobody(client: Client, image: str) -> None:
    response = client.infer("second", image)
    assert response.status_code == 404
    assert "there is no image" in response.json()["detail"]


def test_other_names(client: Client, place: Path) -> None:
    assert client.infer("../second", "a").status_code == 404
    assert client.infer("nothing", "a").status_code == 404
    assert client.infer("second", "a", label_tag="../../x", save_label=True).status_code == 400
    file = {"file": ("x.png", (place / "studies" / "a.png").read_bytes())}
    for name in ("../x", "..", "a/b", "a\\b"):
        response = client.send("PUT", "/datastore/image", params={"image": name}, files=file)
        assert response.status_code == 400, name
        assert "plain name" in response.json()["detail"]
    assert not (place / "x.png").exists()


def test_labels_of_nobody(client: Client, place: Path) -> None:
    file = place / "studies" / "grey.png"
    assert client.save_label("a", file, tag="../../x").status_code == 400
    assert client.save_label("../a", file).status_code == 400
    assert client.save_label("nothing", file).status_code == 404


@pytest.mark.parametrize(
    ("name", "content"), [("a.png", b"no image"), ("a.jpg", b""), ("a.nii.gz", b"no"), ("a.dcm", b"x")]
)
def test_an_image_that_is_none(client: Client, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    response = client.infer("second", file=tmp_path / name)
    assert response.status_code == 400
    assert "a readable image" in response.json()["detail"]


def test_volume_keeps_its_geometry(client: Client, place: Path, tmp_path: Path) -> None:
    (tmp_path / "mask.nii.gz").write_bytes(client.infer("second", "volume", "image").content)
    mask, image = nib.load(tmp_path / "mask.nii.gz"), nib.load(place / "studies" / "volume.nii.gz")
    assert mask.shape == image.shape
    assert np.allclose(mask.affine, image.affine)
    assert mask.get_data_dtype() == np.uint8


def test_dicom_gives_nrrd_with_its_spacing(client: Client, tmp_path: Path) -> None:
    import SimpleITK

    slice_ = SimpleITK.GetImageFromArray(np.random.default_rng(0).integers(0, 900, (1, 30, 40)).astype(np.int16))
    slice_.SetSpacing((0.5, 0.75, 3.0))
    slice_.SetOrigin((10.0, -20.0, 30.0))
    slice_.SetMetaData("0008|0060", "CT")
    SimpleITK.WriteImage(slice_, str(tmp_path / "slice.dcm"))
    (tmp_path / "mask.nrrd").write_bytes(client.infer("second", file=tmp_path / "slice.dcm", output="image").content)
    mask, image = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("mask.nrrd", "slice.dcm"))
    assert mask.GetSize() == image.GetSize() == (40, 30, 1)
    assert np.allclose(mask.GetOrigin(), image.GetOrigin())
    assert np.allclose(mask.GetSpacing()[:2], image.GetSpacing()[:2])
    assert np.allclose(mask.GetDirection(), image.GetDirection())


def test_colour_frame_of_a_dicomweb_server(client: Client, tmp_path: Path) -> None:
    """MONAI Label converts each DICOM series to NIfTI with SimpleITK."""
    import SimpleITK

    frame = np.random.default_rng(0).integers(0, 255, (1, 30, 40, 3), dtype=np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(frame, isVector=True), str(tmp_path / "frame.nii.gz"))
    answer = client.infer("second", file=tmp_path / "frame.nii.gz", output="image", result_extension=".nrrd")
    (tmp_path / "mask.nrrd").write_bytes(answer.content)
    assert SimpleITK.ReadImage(str(tmp_path / "mask.nrrd")).GetSize() == (40, 30, 1)


def test_scoring_finds_the_least_certain(client: Client) -> None:
    """Runs by itself when the server starts."""

    def scored() -> Any:
        return client.send("GET", "/datastore/image/info", params={"image": "a"}).json().get("epistemic_entropy")

    assert client.wait(scored, 180) > 0
    assert client.send("POST", "/activelearning/epistemic", json={}).json()["id"] in {"a", "b", "grey", "volume"}


def test_training_on_labels_with_and_without_prompt(client: Client, place: Path, tmp_path: Path) -> None:
    for image, shape, prompt in (("a", (40, 60), "$1/0"), ("grey", (32, 48), None)):
        mask = np.zeros(shape, np.uint8)
        mask[4:20, 5:30] = 1
        Image.fromarray(mask).save(tmp_path / "label.png")
        params = {} if prompt is None else {"prompt": prompt}
        assert client.save_label(image, tmp_path / "label.png", **params).status_code == 200
    assert client.send("GET", "/datastore/label/info", params={"label": "a", "tag": "final"}).json()["prompt"] == "$1/0"
    assert "label of grey was saved without a prompt" in client.log.read_text(errors="replace")
    files = [place / "app" / "adapters" / "second.pt", place / "app" / "model" / "vlsm_dense" / "models" / "model.pt"]
    before = [file.read_bytes() for file in files]
    score = existence(client, "second")
    status = client.train("second", max_epochs=2, val_split=0, device="cpu", run_id="$1/0", tracking_uri="$1/0")
    assert status["status"] == "DONE", status["details"][-10:]
    assert [file.read_bytes() == old for file, old in zip(files, before, strict=True)] == [False, True]
    assert existence(client, "second") != score


def test_training_refuses_what_is_no_number(client: Client) -> None:
    status = client.train("vlsm_dense", max_epochs="$1/0")
    assert status["status"] == "ERROR"
    assert "TrainRequestError: max_epochs and val_split must be numbers" in "\n".join(status["details"])


@pytest.mark.parametrize("values", [{"device": "$1/0"}, {"val_split": 3}, {"max_epochs": 0}, {"gpus": "$1/0"}])
def test_request_for_training_is_checked(values: dict[str, Any]) -> None:
    from monai_vlsm.apps.label.train import TrainRequestError, checked_request

    with pytest.raises(TrainRequestError, match=next(iter(values))):
        checked_request(values)
    assert checked_request({"run_id": "$1/0", "device": ["cpu"], "x": "$1/0"})["run_id"] == "run"
