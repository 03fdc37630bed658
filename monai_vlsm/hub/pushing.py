# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapters to the Hub: the file, its card, and an overlay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi
from PIL import Image

from monai_vlsm.hub.card import make_card
from monai_vlsm.hub.evaluation import read_evaluation
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.hub.faults import HubError, check_repo_id, hub_errors
from monai_vlsm.hub.files import check_architecture, read_adapters, write_adapters
from monai_vlsm.hub.licences import check_licence
from monai_vlsm.names import without_folders
from monai_vlsm.outputs import MANIFEST, Outputs

__all__ = ["CARD", "IMAGE", "MODEL", "push", "write_upload"]

MODEL, CARD, IMAGE = "model.pt", "README.md", "overlay.png"


def push(
    file: str | Path,
    repo_id: str,
    evaluation: str | Path | None = None,
    *,
    datasets: Sequence[str] = (),
    license: str | None = None,
    data_license: str | None = None,
    overlay: bool = True,
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Share adapters on the Hugging Face Hub, with a model card.

    The repository is made if it is not there. What goes up is written anew from what was checked: ``model.pt`` with the
    trained tensors and the settings, ``README.md``, and ``overlay.png`` if there is one. Nothing of the base, no
    name of an image, no path of this machine.

    Args:
        file: a ``model.pt``.
        repo_id: OWNER/NAME on the Hub.
        evaluation: folder that an evaluation of this file wrote, for scores, prompts and an overlay.
        datasets: what it was trained on: names of the catalogue (``data list``), ids on the Hub, or other words.
        license: licence of the adapters, as the Hub spells it, for example ``"apache-2.0"``.
        data_license: licence of the data that it was trained on, in words. The catalogue's for datasets that it knows.
        overlay: False shares none. An overlay shows an image of the data.
        private: let nobody else see the repository.
        token: for the Hub; None takes ``HF_TOKEN``, or that of ``hf auth login``.
        endpoint: address of the Hub; None takes ``HF_ENDPOINT``, or the public one.

    Returns:
        The address of the repository.

    Raises:
        ModelNotFoundError: no such file.
        ModelMismatchError: a file with code or other objects in it, with weights of the base, or that is damaged; or
            the evaluation of another model.
        MixedFilesError: a folder with files of several evaluations.
        ReportError: a folder that no evaluation wrote.
        HubError: the Hub cannot be reached, or does not let us; the repository is public and should be private; or the
            Hub does not know the licence.
    """
    with TemporaryDirectory() as folder:
        write_upload(
            file,
            repo_id,
            Path(folder),
            evaluation,
            datasets=datasets,
            license=license,
            data_license=data_license,
            overlay=overlay,
        )
        return _upload(Path(folder), repo_id, private, HfApi(endpoint=endpoint, token=token))


def write_upload(
    file: str | Path,
    repo_id: str,
    folder: Path,
    evaluation: str | Path | None = None,
    *,
    datasets: Sequence[str] = (),
    license: str | None = None,
    data_license: str | None = None,
    overlay: bool = True,
) -> list[Path]:
    """Write what `push` would send, to look at it; nothing is sent. Arguments and errors as there.

    Args:
        file: as in `push`.
        repo_id: as in `push`.
        folder: gets the files; made if needed.
        evaluation: as in `push`.
        datasets: as in `push`.
        license: as in `push`.
        data_license: as in `push`.
        overlay: as in `push`.

    Returns:
        The files.

    Raises:
        NotOursError: a file that was not written by this has the name of one of them.
    """
    check_repo_id(repo_id)
    license = check_licence(license)
    adapters = read_adapters(file)
    check_architecture(file, adapters)
    found = read_evaluation(Path(evaluation), adapters) if evaluation is not None else None
    facts = CardFacts(repo_id, adapters, found, tuple(map(without_folders, datasets)), license, data_license)
    shown = found.case.image if found and found.case and overlay else None
    card = make_card(replace(facts, overlay=shown is not None))
    names = [MODEL, CARD, *([] if shown is None else [IMAGE])]
    outputs = Outputs(folder, "upload")
    outputs.require_free(names)
    with outputs.writing(MODEL) as path:
        write_adapters(adapters, path)
    with outputs.writing(CARD) as path:
        path.write_text(card, encoding="utf-8")
    if shown is not None:
        with outputs.writing(IMAGE) as path:
            _write_pixels(shown, path)
    outputs.clear(keep=names)  # an overlay of before, which is not to be shared now
    return [folder / name for name in names]


def _write_pixels(shown: Path, path: Path) -> None:
    """Pixels only: a PNG can carry the name of a file or of a person."""
    with Image.open(shown) as image:
        Image.frombytes("RGB", image.size, image.convert("RGB").tobytes()).save(path, format="PNG")


def _upload(folder: Path, repo_id: str, private: bool, api: HfApi) -> str:
    with hub_errors(repo_id, api.endpoint):
        url = api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise HubError(
                f"{repo_id} is there already and is public; nothing was sent. Make it private on its page first"
            )
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, commit_message="Adapters of monai_vlsm", ignore_patterns=MANIFEST
        )
    return str(url)
