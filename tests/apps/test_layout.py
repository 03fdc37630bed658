# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an app's folder may hold, and how it is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from monai_vlsm.apps.label import (
    AppFolderError,
    Target,
    install_app,
    model_names,
    read_targets,
    served_models,
    start_command,
)
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelNotFoundError, seal
from monai_vlsm.commands import main
from monai_vlsm.io import WriteError


def test_models_and_targets(app: Path) -> None:
    assert [model.name for model in served_models(app)] == ["vlsm_dense", "second"]
    assert read_targets(app) == [Target("polyp", "polyp")]
    names = model_names(served_models(app), [Target("white matter", "white matter of a brain")])
    assert list(names) == ["vlsm_dense", "second", "vlsm_dense_white_matter", "second_white_matter"]
    assert names["second_white_matter"][0].file.name == "second.pt"


def test_only_wanted_bundles(app: Path, bundle: Path) -> None:
    shutil.copytree(bundle, app / "model" / "other")
    assert [model.name for model in served_models(app, ["other"])] == ["other", "second"]
    with pytest.raises(AppFolderError, match=r"no bundle nothing .* there are: other, vlsm_dense"):
        served_models(app, ["nothing"])


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(AppFolderError, match="there are: none"):
        served_models(install_app(tmp_path / "app"))


def test_two_adapters_with_one_name(app: Path, adapter: Path) -> None:
    shutil.copy(adapter, app / "adapters" / "vlsm_dense.pt")
    with pytest.raises(AppFolderError, match="twice there is vlsm_dense"):
        served_models(app)


def test_a_target_with_the_name_of_a_model(app: Path, adapter: Path) -> None:
    shutil.copy(adapter, app / "adapters" / "second_polyp.pt")
    with pytest.raises(AppFolderError, match="models and targets must differ, twice there is second_polyp"):
        model_names(served_models(app), read_targets(app))


@pytest.mark.parametrize("name", ["a b", "ä b", "-x", "..x", "$x"])
def test_names_that_no_address_may_have(app: Path, adapter: Path, name: str) -> None:
    shutil.copy(adapter, app / "adapters" / f"{name}.pt")
    with pytest.raises(AppFolderError, match="model names must be of letters"):
        served_models(app)


def test_what_cannot_be_used_is_left_out(
    app: Path, bundle: Path, adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (app / "adapters" / "broken.pt").write_bytes(adapter.read_bytes()[:500])
    shutil.copytree(bundle, app / "model" / "untrained", ignore=shutil.ignore_patterns("models"))
    state = torch.load(adapter, weights_only=True)
    state[SETTINGS_KEY]["network"] = "SANNet"
    state[SETTINGS_KEY]["fusion"] = state[SETTINGS_KEY].pop("adaptation")["type"]
    torch.save(seal(state), app / "adapters" / "another.pt")
    assert [model.name for model in served_models(app)] == ["vlsm_dense", "second"]
    assert "broken.pt is not a model file" in caplog.text
    assert "no model file at " + str(app / "model" / "untrained" / "models" / "model.pt") in caplog.text
    assert "another.pt is of a SANNet, and no bundle here is" in caplog.text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"a": 1}', "must be an object"),
        ('{"a": " "}', "must be an object"),
        ('{"..": "b"}', "needs a letter or digit"),
        ('{"a b": "x", "a_b": "y"}', "twice there is a_b"),
    ],
)
def test_wrong_prompts(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "prompts.json").write_text(text)
    with pytest.raises(AppFolderError, match=match):
        read_targets(tmp_path)


def test_install_again_adds_and_keeps(app: Path, adapter: Path, tmp_path: Path) -> None:
    (app / "prompts.json").write_text('{"x": "y"}')
    shutil.copy(adapter, tmp_path / "third.pt")
    install_app(app, adapters=[tmp_path / "third.pt"])
    assert [model.name for model in served_models(app)] == ["vlsm_dense", "second", "third"]
    assert read_targets(app) == [Target("x", "y")]
    with pytest.raises(AppFolderError, match="there is a model 'third'"):
        install_app(app, adapters=[tmp_path / "third.pt"])


def test_install_refuses(tmp_path: Path, bundle: Path, adapter: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(AppFolderError, match="in use by something else"):
        install_app(tmp_path / "full")
    with pytest.raises(AppFolderError, match="is no trained bundle, it lacks"):
        install_app(tmp_path / "app", [adapter.parent])
    with pytest.raises(AppFolderError, match=r"must be named NAME\.pt"):
        install_app(tmp_path / "app", [bundle], [bundle / "LICENSE"])
    with pytest.raises(ModelNotFoundError, match="no such file"):
        install_app(tmp_path / "app", [bundle], [tmp_path / "nothing.pt"])
    with pytest.raises(AppFolderError, match="two models would be called 'second'"):
        install_app(tmp_path / "app", [bundle], [adapter, adapter])
    assert not (tmp_path / "app").exists()


def test_two_files_of_one_name(app: Path, bundle: Path, adapter: Path, tmp_path: Path) -> None:
    for name in ("one", "t=2"):
        (tmp_path / name).mkdir()
        shutil.copy(adapter, tmp_path / name / "model.pt")
    files = [f"{name}={tmp_path / folder / 'model.pt'}" for name, folder in (("polyp", "one"), ("ulcer", "t=2"))]
    words = ["label", "--output", str(app), "--bundle", f"other={bundle}"]
    assert main([*words, "--adapters", files[0], "--adapters", files[1]]) == 0
    assert [model.name for model in served_models(app)] == ["other", "vlsm_dense", "polyp", "second", "ulcer"]
    install_app(app, adapters=[tmp_path / "t=2" / "model.pt"])  # a path with = in it
    assert (app / "adapters" / "model.pt").is_file()


def test_an_app_is_updated(app: Path, bundle: Path, adapter: Path, tmp_path: Path) -> None:
    (app / "prompts.json").write_text('{"x": "y"}')
    new = shutil.copytree(bundle, tmp_path / "vlsm_dense")
    (new / "models" / "model.pt").write_bytes((bundle / "models" / "model.pt").read_bytes())
    (new / "docs").mkdir(exist_ok=True)
    (new / "docs" / "new.md").touch()
    with pytest.raises(AppFolderError, match=r"there is a model 'vlsm_dense' .*--overwrite"):
        install_app(app, [new])
    assert not (app / "model" / "vlsm_dense" / "docs" / "new.md").exists()
    words = ["label", "--output", str(app), "--bundle", str(new), "--adapters", f"second={adapter}", "--overwrite"]
    assert main(words) == 0
    assert (app / "model" / "vlsm_dense" / "docs" / "new.md").exists()
    assert [model.name for model in served_models(app)] == ["vlsm_dense", "second"]
    assert read_targets(app) == [Target("x", "y")]
    assert sorted(path.name for path in (app / "model").iterdir()) == ["vlsm_dense"]


def test_what_a_full_disk_left_is_an_app(
    app: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(WriteError, match=r"cannot copy .* to .*new: No space left"):
        patch.setattr(shutil, "copyfile", fail)
        install_app(tmp_path / "new", adapters=[adapter])
    install_app(tmp_path / "new", adapters=[adapter])
    assert (tmp_path / "new" / "adapters" / "second.pt").is_file()
    shutil.copytree(app / "model" / "vlsm_dense", app / "model" / ".vlsm_dense.0f.part")  # of a killed process
    assert [model.name for model in served_models(app)] == ["vlsm_dense", "second"]


def test_command(tmp_path: Path, bundle: Path, adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "app"
    assert main(["label", "--output", str(folder), "--bundle", str(bundle), "--adapters", str(adapter)]) == 0
    assert start_command(folder) in capsys.readouterr().out
    assert "--host 127.0.0.1" in start_command(folder)
    assert json.loads((folder / "prompts.json").read_text()) == {"polyp": "polyp"}
    assert {"main.py", "README.md", "model", "adapters"} <= {path.name for path in folder.iterdir()}
    assert main(["label", "--output", str(folder), "--bundle", str(bundle)]) == 1
    assert "error: there is a model 'vlsm_dense'" in capsys.readouterr().err
