# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapters from the Hub: only what is needed, and checked before it is kept."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, snapshot_download

from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError
from monai_vlsm.hub.faults import HubError, check_repo_id, check_revision, hub_errors
from monai_vlsm.hub.files import check_architecture, is_shared_backbone, read_adapters
from monai_vlsm.hub.pushing import CARD, MODEL
from monai_vlsm.io import require_writable, write_bytes
from monai_vlsm.names import user_path

__all__ = ["FileExistsHereError", "pull"]

_LARGEST = 500_000_000  # bytes; the largest adapters of this package have a tenth of it


class FileExistsHereError(HubError, FileExistsError):
    """A file that a pull would replace by a different one."""


def pull(
    repo_id: str,
    output: str | Path,
    revision: str | None = None,
    *,
    overwrite: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch adapters from the Hugging Face Hub.

    Only ``model.pt`` and ``README.md`` are fetched. The file is read without running anything that it may hold, and
    checked, before it comes to its place.

    Args:
        repo_id: OWNER/NAME on the Hub.
        output: folder that gets the files; made if needed.
        revision: branch, tag or commit; None takes the newest.
        overwrite: replace files of another content.
        token: for the Hub; None takes ``HF_TOKEN``, or that of ``hf auth login``.
        endpoint: address of the Hub; None takes ``HF_ENDPOINT``, or the public one.

    Returns:
        The path of ``model.pt``.

    Raises:
        HubError: no such repository or revision, no permission, no network, a broken download, a name that is none, or
            a repository without adapters.
        ModelMismatchError: a file with code or other objects in it, without settings or fingerprint, or a damaged one.
        WriteError: the folder cannot be written; asked before anything is fetched.
        FileExistsHereError: another file is there already, without ``overwrite``.
    """
    check_repo_id(repo_id)
    check_revision(revision)
    folder = user_path(output)
    if folder.exists() and not folder.is_dir():
        raise HubError(f"{folder} is a file; give a folder for what is pulled")
    require_writable(folder)
    commit, files = _look_up(repo_id, revision, HfApi(endpoint=endpoint, token=token))
    with TemporaryDirectory() as temporary:  # an empty one: from a full one, huggingface_hub may return what was there
        with hub_errors(repo_id, endpoint, revision):
            snapshot_download(
                repo_id,
                revision=commit,
                local_dir=temporary,
                allow_patterns=files,
                token=token,
                endpoint=endpoint,
            )
        _check(Path(temporary) / MODEL, repo_id)
        _move(Path(temporary), folder, files, overwrite)
    return folder / MODEL


def _look_up(repo_id: str, revision: str | None, api: HfApi) -> tuple[str, list[str]]:
    """The commit of a revision, and those of our files that it has."""
    with hub_errors(repo_id, api.endpoint, revision):
        info = api.model_info(repo_id, revision=revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if MODEL not in sizes:
        raise HubError(f"{repo_id} holds no adapters of monai_vlsm: it has no {MODEL}, only {_some(sorted(sizes))}")
    if sizes[MODEL] > _LARGEST:
        raise HubError(
            f"{MODEL} of {repo_id} has {sizes[MODEL] / 1e6:,.0f} MB: that is a whole network, not adapters. "
            "Nothing was fetched"
        )
    if not re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
        raise HubError(f"{api.endpoint} gave no commit for {repo_id}, but {info.sha!r}; it is no Hub")
    return str(info.sha), [name for name in (MODEL, CARD) if name in sizes]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) or "nothing"
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check(path: Path, repo_id: str) -> None:
    try:
        adapters = read_adapters(path)
        if is_shared_backbone(adapters[SETTINGS_KEY]["backbone"]):
            check_architecture(path, adapters)
    except ModelMismatchError as error:
        raise ModelMismatchError(
            str(error).replace(str(path), f"{MODEL} of {repo_id}") + ". Nothing was kept"
        ) from error


def _move(source: Path, folder: Path, files: list[str], overwrite: bool) -> None:
    new = {folder / name: (source / name).read_bytes() for name in files}
    changed = [path for path, content in new.items() if not (path.is_file() and path.read_bytes() == content)]
    taken = [path for path in changed if path.exists()]
    if taken and not overwrite:
        raise FileExistsHereError(
            f"{taken[0]} is there already and differs; give another folder, or --overwrite to replace it"
        )
    for path in changed:
        write_bytes(path, new[path])
