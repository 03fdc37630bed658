# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the page answers, without a browser."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from monai_vlsm.checkpoints import ModelNotFoundError, read, seal, tensors_of
from monai_vlsm.commands import main
from monai_vlsm.demo import Models, build_app, listen, turns, visits
from monai_vlsm.demo.answers import ask
from monai_vlsm.demo.requests import COOKIE
from monai_vlsm.demo.routes import PAGE
from monai_vlsm.demo.steps import STEPS, steps_of
from monai_vlsm.demo.uploads import EXAMPLES
from monai_vlsm.samples import sample_dir
from monai_vlsm.serving import Segmenter
from tests.serving.images import write_images

PROMPTS = ["brain", "<b>white</b> matter"]


def drop(client: TestClient, file: Path, name: str | None = None) -> Any:
    return client.post("/file", params={"name": file.name if name is None else name}, content=file.read_bytes())


def asked(client: TestClient, key: str, prompts: str = "\n".join(PROMPTS)) -> Any:
    return client.post("/answer", json={"file": key, "model": "polyps", "prompts": prompts})


def test_an_image_is_answered_at_any_threshold(client: TestClient, models: Models, tmp_path: Path) -> None:
    file = write_images(tmp_path) / "wide.png"
    answer = asked(client, drop(client, file).json()["file"]).json()
    truth = models.segmenter("polyps")(file, PROMPTS)
    for threshold in (0.3, 0.5):
        rows = client.get(f"/answer/{answer['answer']}/rows", params={"threshold": threshold}).json()
        assert [row["prompt"] for row in rows] == PROMPTS
        assert truth.probabilities is not None
        assert [row["pixels"] for row in rows] == [(one >= threshold).sum() for one in truth.probabilities]
        assert [row["existence"] for row in rows] == pytest.approx(truth.existence)
    overlay = client.get(f"/answer/{answer['answer']}/overlay")
    assert Image.open(io.BytesIO(overlay.content)).width == 640


def test_a_volume_is_kept_slice_by_slice(models: Models, tmp_path: Path) -> None:
    file = write_images(tmp_path) / "volume.nii.gz"
    answer = ask(models.segmenter("polyps"), file, PROMPTS)
    truth = Segmenter(models.segmenter("polyps").network, device="cpu", threshold=0.3)(file, PROMPTS)
    assert len(answer.images) == 5
    assert [row["size"] for row in answer.rows(0.3, 0)] == pytest.approx(truth.areas)
    (tmp_path / "out").mkdir(), (tmp_path / "truth").mkdir()
    found = answer.save(tmp_path / "out", 0.3)
    truth.save_masks(tmp_path / "truth")
    assert len(found) == 3
    for path in found[:2]:
        same = nibabel.load(tmp_path / "truth" / path.name)
        assert np.array_equal(np.asarray(nibabel.load(path).dataobj), np.asarray(same.dataobj))


def test_moving_the_threshold_asks_no_network(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask(models.segmenter("polyps"), write_images(tmp_path) / "square.png", PROMPTS)
    monkeypatch.setattr(Segmenter, "_logits", lambda *_: pytest.fail("asked again"))
    least, most = (sum(row["pixels"] for row in answer.rows(one, 0)) for one in (1.0, 0.01))
    assert least < most


def test_steps_are_those_of_the_probabilities() -> None:
    """Also a rounding error beside each threshold."""
    edges = (np.arange(STEPS + 1) / STEPS).astype(np.float32)
    values = np.concatenate([edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(1))])
    for step, edge in enumerate(edges):
        np.testing.assert_array_equal(steps_of(values) >= step, values >= edge)
    assert steps_of(np.array([np.nan], np.float32)) == [0]


def test_opacity_is_that_of_the_fill(models: Models, tmp_path: Path) -> None:
    answer = ask(models.segmenter("polyps"), write_images(tmp_path) / "wide.png", ["brain"])
    none, half, full = (np.asarray(answer.overlay(0.5, 0, opacity), float) for opacity in (0, 0.5, 1))
    np.testing.assert_allclose(half, (none + full) / 2, atol=0.5)
    assert not np.array_equal(none, full)


def test_a_prompt_that_is_not_read_to_its_end(client: TestClient) -> None:
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    answer = asked(client, key, "brain\n" + "x " * 100).json()["answer"]
    rows = client.get(f"/answer/{answer}/rows").json()
    assert [row["cut"] for row in rows] == ["", "only the first 77 of its 102 tokens are read"]


def test_halves_of_letters_are_none(client: TestClient) -> None:
    """JSON may hold them, and an answer may not."""
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    content = f'{{"file": "{key}", "model": "polyps", "prompts": "brain \\ud800\\nmatter"}}'
    answer = client.post("/answer", content=content).json()["answer"]
    rows = client.get(f"/answer/{answer}/rows").json()
    assert [row["prompt"] for row in rows] == ["brain ?", "matter"]
    assert client.get(f"/answer/{answer}/masks").status_code == 200


def test_a_model_that_computes_no_numbers(client: TestClient, model_file: Path, tmp_path: Path) -> None:
    state = read(model_file)
    tensors = {name: torch.full_like(value, 1e38) for name, value in tensors_of(state).items()}
    torch.save(seal({**state, **tensors}), tmp_path / "wild.pt")
    client.post("/model", params={"name": "wild.pt"}, content=(tmp_path / "wild.pt").read_bytes())
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    found = client.post("/answer", json={"file": key, "model": "wild (yours)", "prompts": "brain"})
    assert found.status_code == 400 and "the model computes values that are no numbers" in found.text


def test_masks_come_in_a_zip(client: TestClient) -> None:
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    answer = asked(client, key).json()["answer"]
    packed = zipfile.ZipFile(io.BytesIO(client.get(f"/answer/{answer}/masks").content))
    assert len(packed.namelist()) == 3 and all(name.endswith(".png") for name in packed.namelist())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", b"hello", "no image, DICOM or NIfTI"),
        ("cut.nii.gz", gzip.compress(bytes(5000), mtime=0)[:20], "cut short or is damaged"),
        ("empty.png", b"", "empty.png"),
    ],
)
def test_wrong_files_are_told_in_a_line(client: TestClient, name: str, content: bytes, words: str) -> None:
    answer = client.post("/file", params={"name": name}, content=content)
    assert answer.status_code == 400 and words in answer.text
    assert "\n" not in answer.text and "/tmp" not in answer.text


def test_200_mb_are_refused_before_they_are_read(client: TestClient) -> None:
    for length in (str(200 * 2**20), "-1", "9" * 5000):
        headers = {"Content-Length": length}
        answer = client.post("/file?name=a.png", content=b"", headers=headers)
        assert answer.status_code == 413 and answer.text == "larger than 100 MB, the most that this page takes"


def test_pieces_of_unknown_length_are_counted(client: TestClient) -> None:
    piece = bytes(2**23)
    answer = client.post("/file?name=a.png", content=(piece for _ in range(14)))
    assert answer.status_code == 413 and "100 MB" in answer.text


def test_two_visitors_do_not_mix(models: Models) -> None:
    app = build_app(models)
    with TestClient(app, base_url="http://localhost") as one:
        two = TestClient(app, base_url="http://localhost")
        one.get("/"), two.get("/")
        key = one.post("/example", json={"name": "axial slice"}).json()["file"]
        answer = asked(one, key).json()["answer"]
        assert asked(two, key).status_code == 400
        assert two.get(f"/answer/{answer}/rows").status_code == 400
        assert one.get(f"/answer/{answer}/rows").status_code == 200


def test_a_model_of_another_base_is_refused(client: TestClient, model_file: Path, of_another_base: Path) -> None:
    refused = client.post("/model", params={"name": "other.pt"}, content=of_another_base.read_bytes())
    assert refused.status_code == 400 and "\n" not in refused.text and refused.text.startswith("other.pt")
    taken = client.post("/model", params={"name": "mine.pt"}, content=model_file.read_bytes())
    assert taken.json()["models"] == ["polyps", "ulcers", "mine (yours)"]


@pytest.mark.parametrize("prompts", ["", " \n ", "\n".join(map(str, range(9))), "x" * 301])
def test_prompts_that_are_none(client: TestClient, prompts: str) -> None:
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    assert asked(client, key, prompts).status_code == 400


def test_too_many_waiting_are_sent_away(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    monkeypatch.setattr(turns, "_WAITING", 0)
    assert asked(client, key).status_code == 503
    assert client.post("/example", json={"name": "axial slice"}).status_code == 503


def test_a_model_without_a_turn_leaves_no_file(
    models: Models, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAITING", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with TestClient(build_app(models), base_url="http://localhost") as client:
        client.get("/")
        found = client.post("/model", params={"name": "mine.pt"}, content=model_file.read_bytes())
        assert found.status_code == 503 and [*tmp_path.glob("*/*")]
        assert [*tmp_path.glob("*/*/*")] == []


def test_a_forgotten_tab_drives_nobody_out(models: Models) -> None:
    """Its requests begin no visit; the page does."""
    app = build_app(models)
    with TestClient(app, base_url="http://localhost") as one, TestClient(app, base_url="http://localhost") as lost:
        one.get("/")
        lost.cookies.set(COOKIE, "forgotten")
        for _ in range(20):
            found = lost.get("/answer/any/rows")
            assert found.status_code == 400 and "reload the page" in found.text
        assert one.get("/start").status_code == 200
        lost.get("/")
        assert lost.get("/start").status_code == 200


def test_a_password_is_asked_for(models: Models) -> None:
    with TestClient(build_app(models, "0.0.0.0", "secret"), base_url="http://somewhere") as client:
        assert client.get("/").status_code == 401
        assert client.get("/", auth=("demo", "wrong")).status_code == 401
        assert client.get("/", auth=("demo", "secret")).status_code == 200


def test_other_host_names_are_refused_on_this_machine(models: Models) -> None:
    with TestClient(build_app(models), base_url="http://elsewhere.example") as client:
        assert client.get("/").status_code == 400


def test_the_page_asks_nobody_else(client: TestClient) -> None:
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    text = "".join(path.read_text() for path in PAGE.iterdir())
    assert "//" not in re.sub("(?m)^// .*", "", text) and "innerHTML" not in text


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--password", ""], ["--port", "70000"]])
def test_options_are_refused_in_a_line(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MONAI_VLSM_DEMO_PASSWORD", raising=False)
    assert main(["demo", "--adapters", "none.pt", *options]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "typed", "variable", "expected"),
    [
        ([], None, None, None),
        ([], None, "from the environment", "from the environment"),
        (["--password"], "typed", "from the environment", "typed"),
        (["--password", "in the list"], None, "from the environment", "in the list"),
    ],
)
def test_where_the_password_comes_from(
    words: list[str], typed: str | None, variable: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str | None] = []
    monkeypatch.delenv("MONAI_VLSM_DEMO_PASSWORD", raising=False)
    if variable is not None:
        monkeypatch.setenv("MONAI_VLSM_DEMO_PASSWORD", variable)
    monkeypatch.setattr("monai_vlsm.commands.demo.getpass", lambda _: typed)

    def listen(host: str, port: int, password: str | None) -> Any:
        taken.append(password)
        return nullcontext()

    monkeypatch.setattr("monai_vlsm.demo.server.listen", listen)
    monkeypatch.setattr("monai_vlsm.demo.server.serve", lambda *given: taken.append(given[2]))
    monkeypatch.setattr("monai_vlsm.demo.models.Models", lambda *_: None)
    assert main(["demo", "--adapters", "none.pt", *words]) == 0
    assert taken == [expected, expected]


def test_the_examples_exist() -> None:
    assert all((sample_dir() / path).is_file() for path in EXAMPLES.values())


def test_an_address_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0, None) as place:
        port = place.getsockname()[1]
        assert main(["demo", "--adapters", "none.pt", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"error: cannot listen at 127.0.0.1, port {port}: Address already in use; give another --port or --host\n"
    )
    assert main(["demo", "--adapters", "none.pt", "--host", "no.such.host.invalid", "--password", "secret"]) == 1
    assert capsys.readouterr().err.startswith("error: cannot listen at no.such.host.invalid, port 7860: ")


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "2", "", "x" * 1000])
@pytest.mark.parametrize("name", ["threshold", "slice", "opacity"])
def test_numbers_that_are_none(client: TestClient, name: str, number: str) -> None:
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    answer = asked(client, key, "brain").json()["answer"]
    found = client.get(f"/answer/{answer}/overlay", params={name: number})
    assert found.status_code == 400 and len(found.text) < 100


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"file": [], "prompts": {}}'])
def test_requests_that_are_none(client: TestClient, content: bytes) -> None:
    for path in ("/answer", "/example"):
        found = client.post(path, content=content)
        assert found.status_code == 400 and "\n" not in found.text


def test_what_was_looked_at_longest_ago_goes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory ends; never what was asked for just now."""
    app = build_app(models)
    with TestClient(app, base_url="http://localhost") as one, TestClient(app, base_url="http://localhost") as two:
        answers = []
        for visitor in (one, two):
            visitor.get("/")
            key = visitor.post("/example", json={"name": "axial slice"}).json()["file"]
            monkeypatch.setattr(visits, "_MOST_KEPT", 1)
            answers.append(asked(visitor, key, "brain").json()["answer"])
        found = [visitor.get(f"/answer/{key}/rows") for visitor, key in zip((one, two), answers, strict=True)]
    assert [one.status_code for one in found] == [400, 200] and "press Segment again" in found[0].text


def test_a_fourth_model_takes_the_place_of_the_first(client: TestClient, model_file: Path, models: Models) -> None:
    for name in "abcd":
        found = client.post("/model", params={"name": f"{name}.pt"}, content=model_file.read_bytes())
    assert found.json()["models"] == ["polyps", "ulcers", "b (yours)", "c (yours)", "d (yours)"]
    key = client.post("/example", json={"name": "axial slice"}).json()["file"]
    asked_for = {"file": key, "prompts": "brain", "model": "a (yours)"}
    assert "no model 'a (yours)' any more" in client.post("/answer", json=asked_for).text


def test_what_is_no_model_is_told_before_the_base_is_loaded(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monai_vlsm.demo.models.AdapterBank", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ModelNotFoundError, match=r"none\.pt"):
        Models([model_file, tmp_path / "none.pt"])
