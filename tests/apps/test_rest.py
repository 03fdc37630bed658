# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The app in a real server: what clients do, and what nobody should."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.apps.server import Client

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


def mask_of(response: Any) -> np.ndarray:
    assert response.status_code == 200, response.text[:300]
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_info(client: Client) -> None:
    models = client.send("GET", "/info/").json()["models"]
    assert set(models) == {
        f"{name}{end}" for name in ("vlsm_dense", "second", "own") for end in ("", "_polyp", "_brain")
    }
    assert models["second"]["config"]["prompt"] == "polyp"
    assert models["second"]["config"]["preset"][1:] == ["polyp", "brain"]
    assert models["second_brain"]["labels"] == {"brain": 1}
    assert "prompt" not in models["second_brain"]["config"]
    assert all(model["type"] == "segmentation" for model in models.values())


def test_an_adaptation_of_ones_own(client: Client) -> None:
    assert mask_of(client.infer("own", "a", output="image", prompt="polyp")).shape == (40, 60)


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


@pytest.fixture(scope="module")
def secret(place: Path) -> Iterator[Path]:
    """An image outside of the datastore, with the name that Python gives temporary files, and links to it."""
    file = Path(tempfile.mkstemp(suffix=".png")[1])
    Image.fromarray(np.full((30, 30), 200, np.uint8)).save(file)
    (place / "link.png").symlink_to(file)
    (place / "folder of links").symlink_to(place / "studies")
    yield file
    file.unlink()


def hostile_images(place: Path, secret: Path) -> dict[str, Any]:
    texts = [str(secret), str(place / "link.png"), "/etc/hostname", "../studies/a", "../link", "/", "", ".", "nothing"]
    texts += [f"file://{secret}", "http://127.0.0.1:1/a.png", str(place / "studies" / "a.png"), "a\0", "outside"]
    texts += [str(place / "folder of links" / "a.png"), f"{place}/studies/../link.png", "a.png", "labels/final/a"]
    others = [[str(secret)], ["a"], [], [["a"]], {"path": str(secret)}, {"a": 1}, {}, 7, 1.5, True, None]
    return {repr(value): value for value in [*texts, *others]}


def test_images_of_nobody(client: Client, place: Path, secret: Path) -> None:
    """In the address, and in ``params``, which MONAI Label lays over it."""
    found = {}
    for name, image in hostile_images(place, secret).items():
        if isinstance(image, str) and image:
            found[f"address {name}"] = client.infer("second", image).status_code
        found[f"params {name}"] = client.infer_with("second", {"image": image}, "a").status_code
        found[f"wsi {name}"] = client.send(
            "POST", "/infer/wsi_v2/second?image=a", files={"wsi": (None, json.dumps({"params": {"image": image}}))}
        ).status_code
    assert {name: status for name, status in found.items() if status != 404} == {}
    assert "there is no image" in client.infer("second", "nothing").json()["detail"]


def test_a_session_is_no_way_to_other_files(client: Client, secret: Path) -> None:
    session = {"name": "x", "path": "/", "image": str(secret)}
    assert client.infer_with("second", {"image": str(secret), "session": session}, "a").status_code == 404
    for session_id in ("..", "../..", ".", "/", "%2e%2e", "a/../.."):
        query = {"session_id": session_id, "output": "json"}
        assert client.send("POST", "/infer/second", params=query).status_code in (404, 500), session_id
        assert client.send("DELETE", f"/session/{session_id}").status_code in (404, 405), session_id
    assert client.infer("second", "a").status_code == 200


def test_sessions(client: Client, place: Path, secret: Path) -> None:
    content = (place / "studies" / "a.png").read_bytes()
    session_id = client.send("PUT", "/session/", files={"files": ("a.png", content)}).json()["session_id"]
    query = {"session_id": session_id, "output": "json"}
    assert client.send("POST", "/infer/second", params=query).status_code == 200
    (path,) = (place / "sessions" / session_id).glob("*.png")
    assert client.infer_with("second", {"image": str(path)}, "a").status_code == 404
    assert client.send("DELETE", f"/session/{session_id}").status_code == 200
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(secret, "../../../escaped.png")
    files = {"files": ("a.tar", archive.getvalue())}
    assert client.send("PUT", "/session/?uncompress=true", files=files).status_code == 400


STRANGE: list[Any] = ["../x", "/etc/passwd", "http://127.0.0.1:1/", ["x"], {"a": "b"}, 7]


@pytest.mark.parametrize("key", ["model_filename", "adapters", "model_file", "bundle_root", "output_dir", "result_dir"])
def test_other_paths_go_nowhere(client: Client, place: Path, key: str) -> None:
    before = existence(client, "second")
    for value in STRANGE:
        answer = client.infer_with("second", {key: value}, "a")
        assert answer.status_code == 200
        assert answer.json()["existence"] == [before]


OTHERS = ("label_tag", "result_extension", "result_dtype", "device", "output", "logging", "save_label", "timeout")


@pytest.mark.parametrize(("key", "status"), [("model", 404), *((key, 400) for key in OTHERS)])
def test_strange_values(client: Client, key: str, status: int) -> None:
    for value in STRANGE:
        if value == 7 and key == "timeout":
            continue
        assert client.infer_with("second", {key: value}, "a").status_code == status, value


def test_uploads_end_where_they_belong(client: Client, place: Path, secret: Path) -> None:
    png = (place / "studies" / "a.png").read_bytes()
    wrong = {
        "link": ("link", "x.png", 409),
        "other": ("grey", "x.png", 409),
        "list": ("datastore_v2", "x.json", 400),
        "hidden": (".lock", "x.png", 400),
        "program": ("x", "x.py", 400),
        "folder": ("labels", "x", 400),
    }
    (place / "studies" / "link.png").symlink_to(secret)
    try:
        before = secret.read_bytes()
        for name, (image, file, status) in wrong.items():
            answer = client.send("PUT", "/datastore/image", params={"image": image}, files={"file": (file, png)})
            assert answer.status_code == status, name
        assert secret.read_bytes() == before
        client.send("DELETE", "/datastore/", params={"id": "link"})
        client.send("DELETE", "/datastore/image", params={"id": "link"})
        assert secret.is_file()
    finally:
        (place / "studies" / "link.png").unlink(missing_ok=True)
    answer = client.send("PUT", "/datastore/image", params={"image": "grey"}, files={"file": ("x.png", png)})
    assert answer.status_code == 409
    model = place / "app" / "adapters" / "second.pt"
    old = model.read_bytes()
    assert client.send("PUT", "/model/second", files={"file": ("x.pt", b"no model")}).status_code == 403
    assert model.read_bytes() == old


def test_batches_are_of_images_of_the_datastore(client: Client, place: Path, secret: Path) -> None:
    wrong = [image for image in hostile_images(place, secret).values() if image not in ("", None)]
    common = {"device": "cpu", "label_tag": "batch", "max_workers": 1}
    for sync in ("true", "false"):
        for images in [*wrong, ["a", str(secret)], [["a"]]]:
            if images == ["a"]:
                continue
            answer = client.send("POST", f"/batch/infer/second?run_sync={sync}", json={"images": images, **common})
            assert answer.status_code == 404, images
    strange = {"model": STRANGE, "label_tag": STRANGE[:2], "gpus": STRANGE, "max_workers": STRANGE[:5]}
    for key, values in strange.items():
        for value in values:
            answer = client.send("POST", "/batch/infer/second", json={**common, key: value})
            assert answer.status_code in (400, 404), (key, value)
    assert not (place / "studies" / "labels" / "batch").exists()
    asked = {"images": ["a"], "prompt": "brain", **common}
    answer = client.send("POST", "/batch/infer/second?run_sync=true", json=asked)
    assert answer.status_code == 200, answer.text[:300]
    assert [file.name for file in (place / "studies" / "labels" / "batch").iterdir()] == ["a.png"]


@pytest.mark.parametrize("path", ["/train/second", "/scoring/second", "/batch/infer/second_brain"])
def test_no_code_of_clients_runs_in_other_processes(client: Client, place: Path, path: str) -> None:
    """MONAI Label lets Python import from ``bundle_path`` of a request."""
    (place / "code").mkdir(exist_ok=True)
    (place / "code" / "usercustomize.py").write_text("open('evaluated', 'w')")
    (place / "code" / "sitecustomize.py").write_text("open('evaluated', 'w')")
    answer = client.send("POST", path, json={"bundle_path": str(place / "code"), "device": "cpu"})
    assert answer.status_code == 400
    assert not (place / "evaluated").exists()


def test_strange_tasks(client: Client) -> None:
    for value in STRANGE:
        assert client.send("POST", "/train/second", json={"model": value}).status_code == 404, value
        assert client.send("POST", "/scoring/second", json={"method": value}).status_code == 404, value
        assert client.send("POST", "/activelearning/random", json={"strategy": value}).status_code == 404, value
    for value in STRANGE:
        assert client.send("POST", "/train/second", json={"gpus": value}).status_code == 400, value
    assert client.send("POST", "/train/nothing", json={}).status_code == 404


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


def test_a_volume_is_labelled_trained_on_and_segmented(client: Client, place: Path, tmp_path: Path) -> None:
    """Two segments of one label, as 3D Slicer sends them; then both by their prompts."""
    image = nib.nifti1.load(place / "studies" / "volume.nii.gz")
    labels = np.zeros(image.shape, np.uint8)
    labels[2:9, 3:12, :2], labels[10:18, 5:20, 1:] = 1, 2
    nib.save(nib.Nifti1Image(labels, image.affine), tmp_path / "label.nii.gz")
    segments = [{"name": "left kidney", "idx": 1}, {"name": "spleen", "idx": 2}]
    assert client.save_label("volume", tmp_path / "label.nii.gz", label_info=segments).status_code == 200
    file = place / "app" / "adapters" / "second.pt"
    before = file.read_bytes()
    status = client.train("second", max_epochs=1, val_split=0, device="cpu")
    assert status["status"] == "DONE", status["details"][-10:]
    told = re.findall(r"\((\d+) masks\) to train", client.log.read_text(errors="replace"))
    assert int(told[-1]) in (4, 6)  # two slices of each segment, and the two images of another test, if it ran before
    assert file.read_bytes() != before
    asked = [one["name"] for one in segments]
    answer = client.infer("second", "volume", "image", prompt=asked)
    (tmp_path / "mask.nii.gz").write_bytes(answer.content)
    found = nib.nifti1.load(tmp_path / "mask.nii.gz")
    assert found.shape == image.shape
    assert set(np.unique(np.asarray(found.dataobj))) <= {0, 1, 2}


def test_training_refuses_what_is_no_number(client: Client) -> None:
    status = client.train("vlsm_dense", max_epochs="$1/0")
    assert status["status"] == "ERROR"
    assert "TrainRequestError: max_epochs and val_split must be numbers" in "\n".join(status["details"])
