# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Push to and pull from a stand-in of the Hub."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from monai.bundle import push_to_hf_hub

from monai_vlsm.adapters import tensors_digest
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, load_trained, read, tensors_of
from monai_vlsm.commands import main
from monai_vlsm.hub import FileExistsHereError, HubError, pull, push
from monai_vlsm.hub.licences import check_licence
from monai_vlsm.networks import CLIPSegNet
from tests.hub.conftest import make_network
from tests.hub.standin import READ_ONLY, TOKEN, Hub
from tests.statistics.runs import full_run, write_record

ROOT = Path(__file__).parents[2]
REPO = "anna/polyp-adapters"


def logits(network: CLIPSegNet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        return network(torch.randn(2, 3, 32, 32, generator=generator))


def test_the_same_logits_after_a_round_trip(
    hub: Hub, tiny_file: Path, network: CLIPSegNet, backbone: Path, tmp_path: Path
) -> None:
    url = push(tiny_file, REPO, token=TOKEN, endpoint=hub.url)
    assert url == f"{hub.url}/{REPO}"
    path = pull(REPO, tmp_path / "new" / "folder", endpoint=hub.url)
    assert path == tmp_path / "new" / "folder" / "model.pt"
    other = make_network(backbone, seed=2)
    assert not torch.equal(logits(other), logits(network))
    load_trained(other, path)
    torch.testing.assert_close(logits(other), logits(network), atol=1e-6, rtol=1e-5)


def test_what_goes_up_and_what_comes(hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    facts = json.loads((run / "run.json").read_text())
    facts["settings"] = read(mini_file)[SETTINGS_KEY]
    facts["model"] = tensors_digest(tensors_of(read(mini_file)))
    write_record(run, facts)
    push(mini_file, REPO, run, token=TOKEN, endpoint=hub.url)
    repository = hub.repositories[REPO]
    assert set(repository.head) == {".gitattributes", "README.md", "model.pt", "overlay.png"}
    assert len(repository.commits) == 2
    assert not repository.private
    assert any("/lfs/objects/batch" in request for request in hub.requests)
    hub.requests.clear()
    folder = pull(REPO, tmp_path / "out", token=TOKEN, endpoint=hub.url).parent
    assert {path.name for path in folder.iterdir()} == {"README.md", "model.pt"}
    assert not any("overlay" in request for request in hub.requests)
    assert hub.tokens_at_cdn == []


def test_push_again_changes_the_repository(hub: Hub, mini_file: Path, tiny_file: Path, tmp_path: Path) -> None:
    push(tiny_file, REPO, token=TOKEN, endpoint=hub.url)
    push(mini_file, REPO, token=TOKEN, endpoint=hub.url)
    first = list(hub.repositories[REPO].commits)[1]
    new, old = pull(REPO, tmp_path / "new", endpoint=hub.url), pull(REPO, tmp_path / "old", first, endpoint=hub.url)
    backbones = [torch.load(path, weights_only=True)[SETTINGS_KEY]["backbone"] for path in (new, old)]
    assert backbones[0] == "clipseg-mini"
    assert backbones[1].startswith("backbone")
    hub.repositories[REPO].tags["v1"] = first
    assert pull(REPO, tmp_path / "tag", "v1", endpoint=hub.url).read_bytes() == old.read_bytes()


def test_private(hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    push(mini_file, REPO, private=True, token=TOKEN, endpoint=hub.url)
    assert hub.repositories[REPO].private
    with pytest.raises(HubError, match=f"{REPO}.*private"):
        pull(REPO, tmp_path, endpoint=hub.url)
    assert pull(REPO, tmp_path, token=READ_ONLY, endpoint=hub.url).is_file()


def test_private_is_not_sent_to_a_public_repository(hub: Hub, mini_file: Path) -> None:
    hub.add(REPO, {})
    with pytest.raises(HubError, match=f"{REPO} .*public"):
        push(mini_file, REPO, private=True, token=TOKEN, endpoint=hub.url)
    assert set(hub.repositories[REPO].head) == {".gitattributes"}


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "log in"), (READ_ONLY, "anna/polyp.*You don't have")],
    ids=["401", "403"],
)
def test_push_without_permission(hub: Hub, mini_file: Path, token: str | None, message: str) -> None:
    with pytest.raises(HubError, match=message):
        push(mini_file, REPO, token=token, endpoint=hub.url)
    assert REPO not in hub.repositories


def test_pull_with_a_token_that_has_expired(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {"model.pt": b"x"})
    with pytest.raises(HubError, match=r"settings/tokens.*Invalid credentials"):
        pull(REPO, tmp_path / "out", token="hf_old", endpoint=hub.url)


@pytest.mark.parametrize("name", ["Apache-2.0", "apache-2.0", " MIT "])
def test_licences_in_any_case(name: str) -> None:
    assert check_licence(name) == name.strip().lower()


def test_push_of_a_wrong_licence(hub: Hub, mini_file: Path) -> None:
    with pytest.raises(HubError, match=r"'apache2'.*apache-2\.0.*other"):
        push(mini_file, REPO, license="apache2", token=TOKEN, endpoint=hub.url)
    assert not hub.requests
    with pytest.raises(HubError, match='"license" must be one of'):
        push(mini_file, REPO, license="gpl-3.0", token=TOKEN, endpoint=hub.url)  # one that this Hub does not know
    assert set(hub.repositories[REPO].head) == {".gitattributes"}


@pytest.mark.parametrize(
    ("repo_id", "revision", "message"),
    [
        ("anna/nothing-here", None, "anna/nothing-here"),
        ("anna/gated", None, "ask at http"),
        ("anna/images", None, "anna/images.*model.pt.*.gitattributes, a.png"),
        ("anna/images", "v9", "'v9'"),
        ("anna/huge", None, "600 MB"),
    ],
)
def test_pull_of_what_is_not_there(
    hub: Hub, tmp_path: Path, repo_id: str, revision: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("anna/gated", {"model.pt": b"x"}, gated=True)
    hub.add("anna/images", {"a.png": b"x"})
    hub.add("anna/huge", {"model.pt": HugeBytes(b"\0")})
    with pytest.raises(HubError, match=message):
        pull(repo_id, tmp_path / "out", revision, endpoint=hub.url)
    assert not (tmp_path / "out").exists()


class HugeBytes(bytes):
    """Says that it is larger than it is."""

    def __len__(self) -> int:
        return 600_000_000


@pytest.mark.parametrize(
    "name", ["polyp", "../polyp", "a/b/c", "anna/..", "anna/a..b", "anna/a b", "anna/a\nb", "", "a/"]
)
def test_names_that_are_none(hub: Hub, mini_file: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(HubError, match="OWNER/NAME"):
        pull(name, tmp_path / "out", endpoint=hub.url)
    with pytest.raises(HubError, match="OWNER/NAME"):
        push(mini_file, name, token=TOKEN, endpoint=hub.url)
    assert hub.requests == []


@pytest.mark.parametrize("revision", ["../x", "a..b", "", "a b", "-x", "a\nb", "/x"])
def test_revisions_that_are_none(hub: Hub, tmp_path: Path, revision: str) -> None:
    with pytest.raises(HubError, match="is no revision"):
        pull(REPO, tmp_path / "out", revision, endpoint=hub.url)
    assert hub.requests == []


def test_names_of_files_that_lead_out_of_the_folder(hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    files = {"../evil.txt": b"x", "sub/model.pt": b"x", "run.py": b"x", "model.pt": mini_file.read_bytes()}
    hub.add(REPO, files)
    path = pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert [file.name for file in path.parent.rglob("*")] == ["model.pt"]
    assert not (tmp_path / "evil.txt").exists()


def test_no_hub_at_the_address(mini_file: Path, tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 .*ConnectError"):
        pull(REPO, tmp_path / "out", endpoint="http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"http://127\.0\.0\.1:9 .*ConnectError"):
        push(mini_file, REPO, token=TOKEN, endpoint="http://127.0.0.1:9")


def test_hub_under_repair(hub: Hub, tmp_path: Path) -> None:
    hub.faults.add("down")
    with pytest.raises(HubError, match=f"503.*{REPO}.*under repair"):
        pull(REPO, tmp_path / "out", endpoint=hub.url)


def test_offline(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        pull(REPO, tmp_path / "out", endpoint=hub.url)


def test_truncated_download(hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    push(mini_file, REPO, token=TOKEN, endpoint=hub.url)
    whole = len(hub.repositories[REPO].head["model.pt"])
    hub.faults.add("short")
    with pytest.raises(HubError, match=f"{whole} .*{whole // 2} "):
        pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert not (tmp_path / "out").exists()


def test_interrupted_download_goes_on(
    hub: Hub, mini_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(mini_file, REPO, token=TOKEN, endpoint=hub.url)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.faults.add("cut")
    path = pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert path.read_bytes() == hub.repositories[REPO].head["model.pt"]
    assert not hub.faults


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran_the_code",)


def test_code_from_the_hub_is_not_run(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({SETTINGS_KEY: Evil()}, tmp_path / "evil.pt")
    hub.add(REPO, {"model.pt": (tmp_path / "evil.pt").read_bytes()})
    with pytest.raises(ModelMismatchError, match=f"model.pt of {REPO}.*code"):
        pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert not (tmp_path / "ran_the_code").exists()
    assert not (tmp_path / "out").exists()


def test_files_that_are_there(hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    push(mini_file, REPO, token=TOKEN, endpoint=hub.url)
    path = pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert pull(REPO, tmp_path / "out", endpoint=hub.url) == path
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsHereError, match=r"model\.pt"):
        pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert path.read_bytes() == b"mine"
    pull(REPO, tmp_path / "out", overwrite=True, endpoint=hub.url)
    assert path.stat().st_size > 1000
    with pytest.raises(HubError, match="is a file"):
        pull(REPO, path, endpoint=hub.url)


def test_commands(
    hub: Hub, mini_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # what HF_ENDPOINT sets, on import
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["push", str(mini_file), REPO, "--preview", str(tmp_path / "look")]) == 0
    look = f"nothing was sent; what would be is in {tmp_path / 'look'}: model.pt, README.md\n"
    assert capsys.readouterr().out == look
    assert hub.requests == []
    assert main(["push", str(mini_file), REPO, "--private"]) == 0
    assert capsys.readouterr().out == f"{hub.url}/{REPO}\n"
    assert main(["pull", REPO, "--revision", "main", "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    fingerprint = torch.load(mini_file, weights_only=True)[SETTINGS_KEY]["base"]
    assert lines == [f"needs the base clipseg-mini, fingerprint {fingerprint}", str(tmp_path / "out" / "model.pt")]
    assert main(["pull", "anna/none", "--output", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: no repository anna/none")


def test_a_bundle_with_monais_own_function(
    hub: Hub, mini_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    bundle = tmp_path / "bundles" / "vlsm_dense"
    shutil.copytree(ROOT / "bundles" / "vlsm_dense", bundle, ignore=shutil.ignore_patterns("eval", "models"))
    (bundle / "models").mkdir()
    shutil.copy(mini_file, bundle / "models" / "model.pt")
    (bundle / "eval").mkdir()
    (bundle / "eval" / "metrics.csv").write_text("name")
    kwargs = {"token": TOKEN, "version": "0.1.0", "ignore_patterns": "eval/*"}
    push_to_hf_hub("anna/vlsm-dense", "vlsm_dense", str(bundle.parent), **kwargs)
    repository = hub.repositories["anna/vlsm-dense"]
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert set(repository.head) == (files | {".gitattributes"}) - {"eval/metrics.csv"}
    assert {"configs/metadata.json", "configs/inference.json", "docs/README.md", "LICENSE"} <= files
    assert repository.head["README.md"].startswith(b"---\ntags:\n- monai\n- medical\nlibrary_name: monai\n")
    assert b"license: apache-2.0" in repository.head["README.md"]
    assert repository.private
    assert repository.tags == {"0.1.0": list(repository.commits)[-1]}
    assert repository.head["models/model.pt"] == mini_file.read_bytes()
