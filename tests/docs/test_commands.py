# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the documents is known to what it calls, and runs, or is listed here with what runs in its place.

A new command needs no entry if `Place` has what it names; it then runs with the slow tests, or with the quick ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.adapters import DenseAdaptation
from tests.docs.checks import check, in_python, split, unknown_words
from tests.docs.folder import Place
from tests.docs.shell import FENCED, PAGES, ROOT, Command, commands, mentioned, name_of

LANGUAGES = {"bash", "csv", "json", "nginx", "python", "text", "yaml"}
QUICK = re.compile(r"monai_vlsm (adapters|bundle|cache|data|label|study) |tools/split_sample")
NOT_RUN = {  # page and command: why
    r"^bundles/(?!vlsm_dense/)": "derived from the page of vlsm_dense; tests/bundles/test_all_bundles.py runs each",
    r": (pip|pytest|unzip|hf)( |$)": "needs a package index or a download; .ci/run does what the README says",
    r": docker ": "needs a container builder; .ci/container uses one that is at hand",
    r": trtexec ": "needs TensorRT and a GPU",
    r": torchrun ": "several processes: tests/bundles/test_vlsm_dense.py, tests/bundles/test_processes.py",
    r": curl | monailabel\.| apps/monaibundle": "MONAI Label needs an environment of its own: .ci/label, tests/apps",
    r": openssl |: htpasswd ": "certificate and password of a proxy, which needs nginx",
    r": sbatch | study slurm ": "a cluster: tests/studies/test_slurm.py",
    r" study ray ": "a cluster: tests/studies/test_on_ray.py",
    r" study search | polyps\.yaml": "trains for long: tests/studies/test_search.py",
    r" study work paper ": "trains for weeks: tests/studies/test_tracking.py",
    r" study (work|table|figures) (peft_)?sample": ".ci/run does it with one epoch, of all systems",
    r" study (work|table|figures) busi": "trains for hours: tests/studies/test_real.py",
    r" monai_vlsm pull ": "needs the Hub: tests/hub/test_round_trip.py",
    r" monai_vlsm demo ": "serves until it is stopped: tests/demo/test_page.py",
    r" monai_vlsm federated ": "needs an extra: tests/federated/test_simulate.py",
    r" tools/shrink_dataset\.py ": "needs a dataset of others: tests/tools/test_shrink_dataset.py",
    r" data prepare ": "needs an archive of others: tests/data/prepare/test_run.py",
    r" tools/pretrain_mini\.py ": "needs a download, and trains for long: tests/tools/test_score_mini.py",
    r"own_adaptation\.md": "what it describes is done by tests/test_own_adaptation.py",
    r": cd | configs/inference": "within an unpacked bundle: tests/bundles/test_vlsm_dense.py",
}
MODEL = "bundles/vlsm_dense/models/model.pt"
EVALUATED = "['bundles/vlsm_dense/configs/train.json','bundles/vlsm_dense/configs/evaluate.json']"
PREPARED: dict[str, Callable[[Place], None]] = {  # what a page begins with
    "docs/release.md": lambda place: write_mini(place, MODEL),
    "docs/results.md": lambda place: write_mini(place, "STUDY/plain_41/model.pt", "STUDY/absent_41/model.pt"),
    "docs/hub.md": lambda place: place.run(("python", "-m", "monai.bundle", "run", "--config_file", EVALUATED)),
}


def write_mini(place: Place, *names: str) -> None:
    """Models on a backbone that everybody has."""
    for name in names:
        place.write(name, DenseAdaptation(), "clipseg-mini")


def on(page: str) -> list[Command]:
    return [command for command in commands() if command.page == page]


def is_run(command: Command) -> bool:
    return not any(re.search(pattern, typed(command)) for pattern in NOT_RUN)


def typed(command: Command) -> str:
    return f"{command.page}: {' '.join(command.words)}"


def pages(which: Callable[[Command], object]) -> list[str]:
    return list(dict.fromkeys(command.page for command in commands() if which(command)))


def is_quick(command: Command) -> bool:
    return is_run(command) and QUICK.search(typed(command)) is not None


def run_all(page: str, which: Callable[[Command], bool], place: Place) -> None:
    """The commands of a page, one after the other."""
    PREPARED.get(page, lambda _: None)(place)
    for command in filter(which, on(page)):
        words = in_python(command.words)
        assert words, f"{command} is not of this package: NOT_RUN needs a reason"
        try:
            place.run(words)
        except AssertionError as error:
            pytest.fail(f"{command}\n{error}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_say_what_they_are(page: Path) -> None:
    """A block without a language may hold a command that nothing would look at."""
    text = page.read_text(encoding="utf-8")
    assert {language for _, language, _ in FENCED.findall(text)} <= LANGUAGES
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(FENCED.findall(text))


@pytest.mark.parametrize("page", pages(bool))
def test_what_is_called_knows_the_command(page: str) -> None:
    for command in on(page):
        try:
            check(command.words)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{command}\n{error}")


def test_commands_within_sentences_are_known() -> None:
    wrong = {str(command): unknown_words(*split(command.words)) for command in mentioned()}
    assert len(wrong) > 30
    assert not {command: words for command, words in wrong.items() if words}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("python -m monai_vlsm predict x.png --prompts a --adapters m.pt", "--prompt"),
        ("python -m monai_vlsm predict x.png --prompt a --adapter m.pt", "--adapters"),
        ("python -m monai_vlsm adapters show m.pt", "invalid choice: 'show'"),
        ("python -m monai.bundle run --config_file bundles/vlsm_dense/configs/training.json", "no bundles/vlsm_dense"),
        ("python -m monai.bundle run --config_file bundles/vlsm_dense/configs/train.json --epoch 3", "--epochs"),
        ("python -m monai.bundle run --config_file bundles/vlsm_dense/configs/train.json --overlays -3", "overlays"),
        (
            "torchrun -m monai.bundle run --config_file bundles/cris/configs/train.json --adapter_width 3",
            "adapter_width",
        ),
        ("docker run monai_vlsm monai_vlsm bundles vlsm_dense", "invalid choice: 'bundles'"),
        ("python -m monai_vlsm federated --bundle bundles/vlsm_dense --site a=b --output o --set epoch=1", "--epochs"),
        ("python tools/split_samples.py sites", "no tools/split_samples.py"),
        ("python tools/training_study.py --output o --epoch 3", "--epoch"),
        ("--adaptation {'_target_':'monai_vlsm.adapters.LoRA'}", "LoRA"),
        ("pip install monai_vlsm[demos]", "no extra demos"),
    ],
)
def test_another_word_is_noticed(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((Exception, SystemExit)) as caught:
        check(tuple(words.split()))
    assert message in f"{caught.value}{caught.value.__cause__}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("words", "unknown"),
    [("study plans sample", "plans"), ("study plan x --outputs=y", "--outputs=y"), ("studies", "studies")],
)
def test_a_word_within_a_sentence_is_noticed(words: str, unknown: str) -> None:
    assert unknown_words("monai_vlsm", words.split()) == [unknown]


def test_reasons_hold() -> None:
    """Each is needed, and what it names is there."""
    for pattern, reason in NOT_RUN.items():
        assert any(re.search(pattern, typed(command)) for command in commands()), f"no command is {pattern}"
        for place in re.findall(r"(?:tests|\.ci)/[\w/.]*\w", reason):
            assert (ROOT / place).exists(), place
    assert "study work sample --epochs 1" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("docs"), backbone)


@pytest.mark.parametrize("page", pages(is_quick))
def test_quick_commands_run(page: str, place: Place) -> None:
    run_all(page, is_quick, place)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(is_run))
def test_commands_run(page: str, backbone: Path, tmp_path: Path) -> None:
    run_all(page, is_run, Place(tmp_path, backbone))
