# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of whole bundles, checked when their workflow is made; nothing is trained here."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow, verify_net_in_out

from monai_vlsm.adapters import Combination, DenseAdaptation, LoRAAdaptation
from monai_vlsm.checkpoints import ModelNotFoundError
from monai_vlsm.errors import UserError
from monai_vlsm.settings import SETTINGS, check_settings
from monai_vlsm.settings.names import unread_names

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
KINDS = {"train": ["train"], "evaluate": ["train", "evaluate"], "inference": ["inference"]}


def files(kind: str, bundle: str = "vlsm_dense") -> list[str]:
    return [str(ROOT / bundle / "configs" / f"{name}.json") for name in KINDS[kind]]


def make(kind: str, bundle: str = "vlsm_dense", **override: Any) -> ConfigWorkflow:
    made: ConfigWorkflow = create_workflow(
        config_file=files(kind, bundle), workflow_type="train", logging_file=False, **override
    )
    return made


def refusal(kind: str, bundle: str = "vlsm_dense", **override: Any) -> str:
    """The message that a user sees."""
    with pytest.raises(RuntimeError) as caught:
        make(kind, bundle, **override)
    assert isinstance(caught.value.__cause__, UserError)
    assert "\n" not in str(caught.value.__cause__)
    return str(caught.value.__cause__)


@pytest.fixture()
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a workflow from words of the command line, through fire's reading of them."""

    def run(kind: str, *words: str) -> ConfigWorkflow:
        monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", "run", *words])
        monkeypatch.setattr("monai_vlsm.settings.check.is_bundle_command", lambda: True)
        pairs = zip(words[::2], words[1::2], strict=True)
        return make(kind, **{key.removeprefix("--"): DefaultParseValue(word) for key, word in pairs})

    return run


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_all_bundles_have_a_rule_and_are_read(bundle: str, kind: str) -> None:
    made = make(kind, bundle)
    config = made.parser.get()
    parts = {name for name, value in config.items() if isinstance(value, dict | list)} | {"_meta_"}
    derived = {
        "on_sample",
        "best_model",
        "last_state",
        "saved_adaptation",
        "network",
        "gpu_amp",
        "gpu_settings",
        "on_gpu",
        "half",
        "slices",
        "contrast",
        "resumed_state",
        "sample_targets",
        "known_targets",
    }
    derived |= {f"{which}_backbone" for which in ("paper", "sample", "default")} | {"default_image_size"}
    assert set(config) - parts - derived <= set(SETTINGS)
    of_training = {"compile", "compile_kwargs", "slice_attention", "resumed_state"}
    switched_off = of_training if kind == "evaluate" else set()
    assert set(unread_names(made)) <= switched_off


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("train", {"epoch": 3}, "--epoch: this config has no setting of that name; did you mean --epochs?"),
    ("train", {"learningrate": 3}, "did you mean --learning_rate?"),
    ("train", {"prompt": "x"}, "--prompt: this config has no setting of that name; "),
    ("evaluate", {"style": "p1"}, "did you mean --styles?"),
    ("inference", {"ckpt_dir": "nowhere"}, "--ckpt_dir: this config has no setting of that name; did you mean --"),
    ("inference", {"promt": "brain"}, "did you mean --prompt?"),
    (
        "train",
        {"train#epochs": 3},
        "--train#epochs: this config has no setting of that name; did you mean --epochs?",
    ),
    ("train", {"train#trainer#max_epoch": 3}, "did you mean --train#trainer#max_epochs?"),
    ("train", {"validate#dataloader#num_worker": 3}, "did you mean --validate#dataloader#num_workers?"),
    ("train", {"optimizer#weight_dekay": 3}, "did you mean --optimizer#weight_decay?"),
    ("train", {"loss#foo": 1}, "--loss#foo: this config has no setting of that name"),
    ("train", {"optimizer": "sgd"}, "optimizer is a part of the config and no setting, got 'sgd'"),
    ("inference", {"dataset": 2018}, "dataset is a part of the config and no setting, got 2018"),
    ("train", {"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
    ("train", {"train#trainer#max_epochs": 0}, "train#trainer#max_epochs: expected a whole number of at least 1"),
    ("evaluate", {"device": "gpu"}, "device: expected cpu, cuda or cuda:NUMBER, got 'gpu'"),
    ("inference", {"device": "cuda:99"}, "device: expected a device that is there"),
    ("inference", {"window": [3, 1]}, "LOW below HIGH, or a list of three of these or None, got [3, 1]"),
    ("train", {"epochs": "$1/0"}, "epochs: '$1/0' cannot be evaluated: division by zero"),
]


@pytest.mark.parametrize(("number", "case"), enumerate(WRONG))
def test_wrong_settings(number: int, case: tuple[str, dict[str, Any], str]) -> None:
    kind, override, message = case
    assert message in refusal(kind, BUNDLES[number % len(BUNDLES)], **override)


LORA = "monai_vlsm.adapters.LoRAAdaptation"


def test_another_adaptation_in_one_word() -> None:
    for word in ({"_target_": LORA, "rank": 2}, f"${LORA}(rank=2)"):
        found = make("train", adaptation=word).parser.get_parsed_content("adaptation")
        assert found == LoRAAdaptation(rank=2)
    parts = [{"_target_": "monai_vlsm.adapters.DenseAdaptation", "encoders": "v"}, {"_target_": LORA}]
    both = make("train", "vlsm_shallow", adaptation={"_target_": "monai_vlsm.adapters.Combination", "parts": parts})
    assert both.parser.get_parsed_content("adaptation") == Combination([DenseAdaptation("v"), LoRAAdaptation()])


def test_settings_of_the_adaptation_that_was_replaced() -> None:
    said = refusal("train", adaptation={"_target_": LORA}, adapter_width=8)
    assert said == (
        "--adapter_width: nothing reads it beside the --adaptation that was given; put it there, or leave it out"
    )
    make("train", adaptation={"_target_": LORA, "encoders": "@encoders"}, encoders="v")


WRONG_ADAPTATIONS: list[tuple[Any, str]] = [
    ({"_target_": LORA, "rank": 0}, "rank must be a positive whole number, got 0"),
    ({"_target_": LORA, "ranks": 2}, "got an unexpected keyword argument 'ranks'"),
    ({"_target_": LORA[:-1]}, "Cannot locate class or function path: 'monai_vlsm.adapters.LoRAAdaptatio'"),
    ({"rank": 2}, "adaptation: expected one such as {'_target_': "),
    (f"${LORA}(ranks=2)", "got an unexpected keyword argument 'ranks'"),
    (f"${LORA}", "adaptation: expected one such as"),
    ("LoRA", "adaptation is a part of the config and no setting, got 'LoRA'"),
]


@pytest.mark.parametrize(("given", "message"), WRONG_ADAPTATIONS)
def test_a_wrong_adaptation_is_told_before_anything_is_done(given: Any, message: str) -> None:
    assert message in refusal("train", adaptation=given)


def test_arguments_that_a_part_takes_can_be_added() -> None:
    made = make("train", **{"train#dataloader#pin_memory": True, "optimizer#betas": [0.9, 0.99], "loss#_desc_": "x"})
    assert made.parser["optimizer"]["betas"] == [0.9, 0.99]


def test_names_of_ones_own_config_file_are_settings(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"factor": 2, "epochs": "$@factor * 3", "note": "mine"}')
    made = create_workflow(config_file=[*files("train"), str(own)], logging_file=False, factor=4)
    assert made.parser.get_parsed_content("epochs") == 12


def test_a_workflow_that_a_program_makes_refuses_names_that_nothing_reads() -> None:
    made = ConfigWorkflow(files("train"), logging_file=False, epoch=3)
    with pytest.raises(RuntimeError) as caught:
        made.initialize()
    assert "did you mean --epochs?" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("brain #2", "brain #2"),
        ("brain,tumor", "brain,tumor"),
        ("[brain, white matter]", ["brain", "white matter"]),
        ("['$5','@brain #2']", ["$5", "@brain #2"]),
        ("007", "007"),
        ("1e3", "1e3"),
        ("None", "None"),
        ("True", "True"),
        ("$5 lesion", "$5 lesion"),
        ("$monai.this.is.not.evaluated()", "$monai.this.is.not.evaluated()"),
        ("'@brain'", "@brain"),
        ("['@prompt']", ["@prompt"]),
        ("%backbone", "%backbone"),
        ("$'%brain'", "%brain"),
    ],
)
def test_prompts_reach_the_records_as_typed(typed: Any, word: str, prompt: Any) -> None:
    made = typed("inference", "--prompt", word)
    assert made.parser.get_parsed_content("prompt") == prompt
    made.initialize()
    assert made.parser.get_parsed_content("dataset::data")[0]["prompt"] == prompt


@pytest.mark.parametrize("prompt", ["brain #2", "$5 lesion", "@brain", "brain,tumor", ["$a", "b #2"], ["@prompt"]])
def test_prompts_of_programs_are_texts(prompt: Any) -> None:
    made = make("inference", prompt=copy.copy(prompt))  # MONAI changes lists in place
    assert made.parser.get_parsed_content("prompt") == prompt
    other = ConfigWorkflow(files("inference"), logging_file=False, prompt=copy.copy(prompt))
    other.initialize()
    assert other.parser.get_parsed_content("prompt") == prompt


@pytest.mark.parametrize("path", ["/data/x.nii.gz::channel=1", "/data/ct::series=1.2.3", "/a#b/x.nii.gz::channel=0"])
def test_paths_of_programs_name_parts_of_files(path: str) -> None:
    """MONAI takes ``::`` and ``#`` for one."""
    own = ConfigWorkflow(files("inference"), logging_file=False, dataset_dir=path)
    own.initialize()
    for made in (own, make("inference", dataset_dir=path)):
        assert made.parser.get_parsed_content("dataset_dir") == path


def test_a_prompt_may_be_computed_in_a_config_file(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"prompt": "$[@default_prompt, \'liver\']", "default_prompt": "brain"}')
    made = create_workflow(config_file=[*files("inference"), str(own)], logging_file=False)
    assert made.parser.get_parsed_content("prompt") == ["brain", "liver"]


def test_names_that_are_numbers(typed: Any) -> None:
    words = {"dataset": "2018", "dataset_dir": "007", "train_split": "1", "val_style": "p1", "output_dir": "1e3"}
    words |= {"absent_prompts": "[4, $x]", "default_prompt": "12", "ckpt_dir": "a #b"}
    made = typed("train", *(part for name, word in words.items() for part in (f"--{name}", word)))
    found = {name: made.parser.get_parsed_content(name) for name in words}
    assert found == {**words, "absent_prompts": ["4", "$x"]}


def test_none_for_settings_that_may_be_off(typed: Any) -> None:
    assert typed("train", "--dataset", "None").parser.get_parsed_content("dataset") is None


def test_a_text_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", "run", "--prompt", "-brain"])
    monkeypatch.setattr("monai_vlsm.settings.check.is_bundle_command", lambda: True)
    assert "--prompt needs a text" in refusal("inference", prompt=True)
    assert "--prompt=-TEXT" in refusal("inference", prompt=True)


def test_devices_are_devices() -> None:
    assert make("inference", device="cpu").parser["device"] == torch.device("cpu")


def test_the_root_is_the_folder_of_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "my_exp"
    shutil.copytree(ROOT / "vlsm_dense" / "configs", mine / "configs")
    monkeypatch.setattr("monai_vlsm.settings.workflow.own_process", lambda: True)
    made = create_workflow(config_file=str(mine / "configs" / "train.json"), logging_file=False)
    assert made.parser.get_parsed_content("ckpt_dir") == f"{mine}/models"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    made = create_workflow(config_file="my_exp/configs/train.json", logging_file=False)
    assert Path(made.parser.get_parsed_content("output_dir")) == Path("my_exp/eval")
    made = create_workflow(config_file="my_exp/configs/train.json", logging_file=False, bundle_root="other")
    assert made.parser.get_parsed_content("ckpt_dir") == "other/models"


@pytest.mark.parametrize("config", ["train", "inference"])
def test_a_program_that_works_elsewhere_gives_the_root(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as caught:
        made = create_workflow(config_file=files(config), workflow_type="train", logging_file=False)
        made.run()
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, ModelNotFoundError):
        error = error.__cause__
    assert "Give bundle_root" in str(error)
    assert not any(tmp_path.iterdir())


def test_a_program_that_names_all_folders_needs_no_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = make("train", output_dir="out", ckpt_dir="models")
    assert made.parser.get_parsed_content("score_writer").files.folder == Path("out")


def test_the_root_where_a_program_reads_the_config() -> None:
    parser = ConfigParser()
    parser.read_config(files("inference", "cris"))
    assert parser.get_parsed_content("bundle_root") == "."
    parser["bundle_root"] = "mine"
    assert parser.get_parsed_content("model_file") == "mine/models/model.pt"


def test_the_root_in_other_functions_of_monai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "x" / "configs"
    folder.mkdir(parents=True)
    tensor = {"spatial_shape": [4, 4], "num_channels": 1, "dtype": "float32"}
    meta = {"network_data_format": {"inputs": {"image": tensor}, "outputs": {"pred": tensor}}}
    net = f"$torch.nn.Identity() if @bundle_root == {str(folder.parent)!r} else None"
    config = {"imports": ["$import monai_vlsm"], "bundle_root": "$monai_vlsm.settings.bundle_root()", "net": net}
    for name, values in {"inference": config, "metadata": meta}.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    monkeypatch.chdir(tmp_path)
    verify_net_in_out("net", str(folder / "metadata.json"), str(folder / "inference.json"), device="cpu")


def test_a_whole_config_can_be_evaluated_at_once(tmp_path: Path) -> None:
    config = {"imports": ["$import monai_vlsm"], "epochs": 2, "twice": "$@epochs * 2", "dataset_dir": "a #b"}
    config |= {"initialize": ["$monai_vlsm.settings.check_settings()"], "seen": "@dataset_dir"}
    file = tmp_path / "train.json"
    file.write_text(json.dumps(config))
    made = create_workflow(config_file=str(file), run_id="", logging_file=False, epochs=3)
    assert [one["twice"] for one in made.run()] == [6]
    assert made.parser.get_parsed_content("seen") == "a #b"


def test_outside_of_a_workflow_nothing_is_checked() -> None:
    parser = ConfigParser({"imports": ["$import monai_vlsm"], "x": "$monai_vlsm.settings.check_settings()"})
    assert parser.get_parsed_content("x") is None
    check_settings()


def test_a_most_of_prompts_needs_several_in_a_record() -> None:
    assert "add --multi_prompt True" in refusal("train", max_prompts=3)
    make("train", max_prompts=3, multi_prompt=True)
