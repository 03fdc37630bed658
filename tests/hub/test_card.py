# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card: what is known is there, what is not known is said to be missing, and nothing private is told."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from monai.bundle import run as run_bundle
from PIL import Image

from monai_vlsm.adapters import BitFitAdaptation, Combination, DenseAdaptation, LoRAAdaptation, tensors_digest
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState, read, seal, tensors_of
from monai_vlsm.commands import main
from monai_vlsm.evaluations import MixedFilesError
from monai_vlsm.hub import write_upload
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.statistics import ReportError, words
from tests.folders import visible
from tests.hub.standin import TOKEN, Hub
from tests.statistics.runs import HOSTILE, full_run, make_run, score, scores, volumes, write_record

ROOT = Path(__file__).parents[2]
REPO = "anna/polyp-adapters"


def settings_of(file: Path) -> dict[str, Any]:
    return read(file)[SETTINGS_KEY]


def facts(file: Path, **values: Any) -> dict[str, Any]:
    """A run.json of this file."""
    return {
        "created": "2026-11-23T13:40:02+00:00",
        "dataset_dir": "/data/secret_study",
        "split": "test",
        "existence_threshold": 0.25,
        "settings": settings_of(file),
        "model": tensors_digest(tensors_of(read(file))),
        "command": "python /home/anna/evaluate",
        **values,
    }


def card_of(file: Path, tmp_path: Path, run: Path | None = None, **values: Any) -> str:
    write_upload(file, REPO, tmp_path / "upload", run, **values)
    return (tmp_path / "upload" / "README.md").read_text(encoding="utf-8")


def test_nothing_is_known(mini_file: Path, tmp_path: Path) -> None:
    card = card_of(mini_file, tmp_path)
    for sentence in (
        "**Trained on:** not stated.",
        "**Licence of the training data:** not stated.",
        "Which prompts it was trained and evaluated with is not stated.",
        "Not stated: no evaluation was given",
        "The adapters: not stated by who shared them",
        "is not recorded in the file",
    ):
        assert sentence in card
    assert ModelCard(card).data.to_dict() == {
        "library_name": "monai",
        "pipeline_tag": "image-segmentation",
        "tags": ["monai", "monai_vlsm", "medical", "adapters", "text-prompted-segmentation"],
    }
    for absent in ("None", "nan", "overlay.png", "Dice", "{{", "%}"):
        assert absent not in card


def test_facts_of_the_file(mini_file: Path, tmp_path: Path) -> None:
    card, settings = card_of(mini_file, tmp_path), settings_of(mini_file)
    numbers = sum(
        value.numel() for key, value in torch.load(mini_file, weights_only=True).items() if key != SETTINGS_KEY
    )
    assert f"`{settings['base']}`" in card
    assert f"holds the {numbers:,} numbers that were trained" in card
    assert "| base | clipseg-mini |" in card
    assert "| adapters | DenseAdaptation, encoders vl, width 4 |" in card
    assert "| existence threshold | 0.25: where" in card
    assert "Without a prompt it looks for “polyp”." in card


def test_a_base_on_the_hub(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = CLIPSegNet(adaptation=DenseAdaptation("v", width=2), load_weights=False)
    all_of_it = network.state_dict()
    state = {name: torch.zeros(all_of_it[name].shape) for name in network.trained_names}
    settings = {**network.settings(), "base": "0" * 64}
    torch.save(seal({**state, SETTINGS_KEY: settings}), tmp_path / "model.pt")
    card = card_of(tmp_path / "model.pt", tmp_path)
    head = ModelCard(card).data
    assert head.base_model == "CIDAS/clipseg-rd64-refined"
    assert head["base_model_relation"] == "adapter"
    assert "[CIDAS/clipseg-rd64-refined](https://huggingface.co/CIDAS/clipseg-rd64-refined)" in card
    assert "a toy" not in card
    assert "none: no mask is emptied" in card


def test_a_local_base(tiny_file: Path, backbone: Path, tmp_path: Path) -> None:
    card = card_of(tiny_file, tmp_path)
    assert str(backbone.parent) not in card
    assert backbone.name in card
    assert "--backbone /path/to/the/base" in card
    assert "Ask the author for the base." in card
    assert "base_model" not in card


def test_scores_of_tags_are_apart(mini_file: Path, tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    write_record(run, facts(mini_file))
    card = card_of(mini_file, tmp_path, run, datasets=["busi"], license="mit")
    parts = re.split(r"^### ", card, flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part for part in parts}
    assert "| set | p1 | 31 | 31 |" in sections["Class prompts"]
    assert "p6" not in sections["Class prompts"]
    assert "| set | p6 | 30 | 30 |" in sections["Mask-derived prompts"]
    assert "no clinic can have these scores" in sections["Mask-derived prompts"]
    assert re.search(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", sections["Class prompts"])
    assert "| mask-derived | part of the answer" in card
    assert "Asked for something that is not in the image (30 probes on set)" in card
    results = ModelCard(card).data.eval_results
    assert {result.metric_type for result in results} == {"dice", "mean_iou"}
    assert all("class prompts, 95 % interval 0." in result.metric_name for result in results)
    assert {(result.dataset_name, result.dataset_split) for result in results} == {("set", "test")}
    shown = re.search(r"\| set \| p1 \| 31 \| 31 \| (0\.\d+)", card)
    assert shown is not None
    assert float(shown.group(1)) == pytest.approx(results[0].metric_value, abs=6e-4)


def test_whole_volumes(mini_file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", info=facts(mini_file), whole=volumes(30))
    card = card_of(mini_file, tmp_path, run)
    section = next(part for part in card.split("### ") if part.startswith("Class prompts"))
    assert re.search(r"\| all structures \| 30 \| .* \| 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) \|", section)
    assert "Whole volumes, by structure:" in section
    assert "lies within 3 mm of the other one" in card
    assert "olume" not in card_of(mini_file, tmp_path / "none", make_run(tmp_path / "flat", info=facts(mini_file)))


def test_a_dataset_of_the_catalogue(mini_file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", scores(dataset="isic"), info=facts(mini_file))
    card = card_of(mini_file, tmp_path, run, datasets=["busi", "anna/own", "my scans"])
    assert "**Trained on:** BUSI, anna/own, my scans." in card
    assert "BUSI: CC0 by Kaggle's listing; see the site. anna/own: not stated. my scans: not stated." in card
    assert "**Evaluated on:** ISIC-2016, list “test”." in card
    assert "Al-Dhabyani" in card
    assert "Gutman" in card
    assert ModelCard(card).data.datasets == ["busi", "anna/own"]
    assert "**Licence of the training data:** CC BY 4.0." in card_of(mini_file, tmp_path, data_license="CC BY 4.0")


def test_doubts_are_told(mini_file: Path, tmp_path: Path) -> None:
    rows = [score(f"i{index}", style="p6", tag="mask-derived", prompt="large polyp") for index in range(3)]
    other = facts(mini_file, split="val", existence_threshold=0.5)
    card = card_of(mini_file, tmp_path, make_run(tmp_path / "run", rows, info=other))
    assert "none of these is a score that a clinic could have" in card
    assert re.search(r"existence threshold 0\.5.*0\.25", card)
    assert words.FEW_TEXT in card
    assert "so scores on it are a little too good" in card
    assert ModelCard(card).data.eval_results is None


def test_nothing_private_is_told(mini_file: Path, tmp_path: Path) -> None:
    rows = [score(f"MUELLER_{index}", patient=f"Mueller {index}") for index in range(5)]
    run = make_run(tmp_path / "run", rows, info=facts(mini_file), images=[f"MUELLER_{index}" for index in range(5)])
    card = card_of(mini_file, tmp_path, run)
    assert not re.search("mueller|secret_study|/home|evaluate$", card, re.IGNORECASE)
    overlay = tmp_path / "upload" / "overlay.png"
    with Image.open(overlay) as image:
        assert image.size == (60, 20)
        assert not image.info
    assert visible(tmp_path / "upload") == {"model.pt", "README.md", "overlay.png"}
    card_of(mini_file, tmp_path, run, overlay=False)
    assert visible(tmp_path / "upload") == {"model.pt", "README.md"}


def test_no_image(mini_file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", info=facts(mini_file), images=["img0"])
    assert "overlay.png" not in card_of(mini_file, tmp_path, run, overlay=False)
    assert not (tmp_path / "upload" / "overlay.png").exists()
    assert "![One image" in card_of(mini_file, tmp_path, run)


def test_hostile_words(mini_file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", scores(prompt=HOSTILE, dataset=HOSTILE), info=facts(mini_file, split=HOSTILE))
    card = card_of(
        mini_file, tmp_path, run, datasets=["{{ 7 * 7 }}", HOSTILE + "\n---\nlicense: mit"], data_license=HOSTILE
    )
    text = card.split("\n---\n", 1)[1]
    assert "<script>" not in text
    assert text.count("](javascript") == text.count("\\](javascript") > 0
    assert "{{ 7 \\* 7 }}" in text
    assert ModelCard(card).data.license is None
    assert "--prompt polyp" in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "1" * 64}, "base is 1111"),
        ({"adaptation": {"type": "DenseAdaptation", "width": 64}}, "adaptation is .*64"),
        ({"image_size": 352}, "image_size is 352, .* 160"),
        ({"existence_threshold": 0.3}, r"existence_threshold is 0\.3, .* 0\.25"),
    ],
)
def test_the_evaluation_of_another_model(mini_file: Path, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    settings = {**settings_of(mini_file), **change}
    run = make_run(tmp_path / "run", info=facts(mini_file, settings=settings))
    with pytest.raises(ModelMismatchError, match=message):
        card_of(mini_file, tmp_path, run)


@pytest.mark.parametrize("change", [{"amp": False}, {"amp": True, "amp_dtype": "float16"}])
def test_an_evaluation_in_another_precision(mini_file: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    """As that on a CPU of a model that a GPU trained."""
    run = make_run(tmp_path / "run", info=facts(mini_file, settings={**settings_of(mini_file), **change}))
    assert "Dice" in card_of(mini_file, tmp_path, run)


def test_the_evaluation_of_a_file_that_was_trained_again_since(mini_file: Path, tmp_path: Path) -> None:
    """The settings are the same, the weights are not: nothing of the old scores goes into the new card."""
    run, file = make_run(tmp_path / "run", info=facts(mini_file)), tmp_path / "model.pt"
    content = torch.load(mini_file, weights_only=True)
    name = next(name for name in content if name != SETTINGS_KEY)
    content[name] = content[name] + 1e-3
    torch.save(seal(content), file)
    with pytest.raises(ModelMismatchError, match=f"{run}.*what was trained"):
        card_of(file, tmp_path, run)
    assert not (tmp_path / "upload").exists()


def test_a_mix_of_evaluations_makes_no_card(mini_file: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", info=facts(mini_file))
    make_run(tmp_path / "val", scores(seed=5))
    shutil.copy(tmp_path / "val" / "metrics.csv", run)  # as a training into the folder of the evaluation once left it
    with pytest.raises(MixedFilesError, match=r"metrics\.csv.*run\.json"):
        card_of(mini_file, tmp_path, run)


def test_other_faulty_evaluations(mini_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match=r"zero.*zero-shot"):
        card_of(mini_file, tmp_path, make_run(tmp_path / "zero", info=facts(mini_file, zero_shot=True)))
    for name, info in (("odd", facts(mini_file, settings=3)), ("training", None)):
        with pytest.raises(ModelMismatchError, match=name):
            card_of(mini_file, tmp_path, make_run(tmp_path / name, info=info))
    with pytest.raises(ReportError, match="none does not exist"):
        card_of(mini_file, tmp_path, tmp_path / "none")


def test_the_commands_of_the_card_work(
    hub: Hub, mini_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert main(["push", str(mini_file), REPO]) == 0
    card = hub.repositories[REPO].head["README.md"].decode()
    pull, inference = re.findall(r"```bash\n(.*)\n(.*)\n```", card)[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    (tmp_path / "FOLDER_WITH_IMAGES").mkdir()
    Image.new("RGB", (50, 40), "navy").save(tmp_path / "FOLDER_WITH_IMAGES" / "a.png")
    words = shlex.split(pull)
    assert words[:3] == ["python", "-m", "monai_vlsm"]
    assert main(words[3:]) == 0
    words = shlex.split(inference)
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    run_bundle(**{name.removeprefix("--"): value for name, value in zip(words[4::2], words[5::2], strict=True)})
    assert [path.suffix for path in (tmp_path / "masks").rglob("*.png")]
    (python,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(python, names)
    assert names["file"] == Path("polyp-adapters/model.pt")


def test_other_adapters_and_several(tmp_path: Path) -> None:
    both = Combination([DenseAdaptation("v", 4), LoRAAdaptation(rank=2, dora=True)])
    torch.save(TrainedState(CLIPSegNet("clipseg-mini", both)).state_dict(), tmp_path / "model.pt")
    card = card_of(tmp_path / "model.pt", tmp_path)
    for row in (
        "adapters | Combination |",
        "adapters | DenseAdaptation, encoders v, width 4 |",
        "adapters | LoRAAdaptation, encoders vl, projections query value, rank 2, alpha 16.0, dora True |",
    ):
        assert row in card
    for paper in ("VLSM-Adapter", "Low-Rank Adaptation of Large Language Models", "Weight-Decomposed"):
        assert paper in card
    torch.save(TrainedState(CLIPSegNet("clipseg-mini", BitFitAdaptation())).state_dict(), tmp_path / "model.pt")
    assert "VLSM-Adapter: Fine" not in card_of(tmp_path / "model.pt", tmp_path)
