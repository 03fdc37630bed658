# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An evaluator of questions beside that of the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose, Identityd
from torch import nn

from monai_vlsm.caches import Caching
from monai_vlsm.probing import probe_evaluator


def record(value: float, questions: int = 1) -> dict[str, Any]:
    image, label = torch.full((1, 2, 2), value), torch.zeros(1, 2, 2)
    return {"image": image, "label": label, "prompt": ["a"] * questions, "probes": object()}


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1, 1, 1]), (8, [2, 1]), (100, [3])])
def test_images_go_together_as_long_as_their_questions_are_a_batch(batch_size: int, sizes: list[int]) -> None:
    other = SupervisedEvaluator(torch.device("cpu"), [], nn.Identity(), inferer=SimpleInferer())
    records = [record(0, 1), record(1, 4), record(2, 2)]
    made = probe_evaluator(other, records, Compose([Identityd("image")]), Identityd("pred"), [], None, batch_size)
    assert [len(items) for items in made.data_loader] == sizes


def test_it_runs_the_network_as_the_other_does_on_each_question(tmp_path: Path) -> None:
    inferer, network = SimpleInferer(), nn.Identity()
    other = SupervisedEvaluator(
        torch.device("cpu"), [], network, inferer=inferer, amp=True, amp_kwargs={"dtype": torch.bfloat16}
    )
    records = [record(float(n)) for n in range(3)]
    seen: list[Any] = []
    keep = Caching(folder=tmp_path / "cache", images="disk")
    made = probe_evaluator(other, records, Compose([Identityd("image")]), Identityd("pred"), [], keep)

    def see(engine: SupervisedEvaluator) -> None:
        seen.append([float(one["pred"].max()) for one in engine.state.output])

    made.add_event_handler(Events.ITERATION_COMPLETED, see)
    made.run()
    assert seen == [[0.0], [1.0], [2.0]]
    assert made.network is network and made.inferer is inferer and made.amp_kwargs == other.amp_kwargs
    assert made.state.batch[0].keys() == {"image", "label", "prompt"}
    assert not (tmp_path / "cache").exists()


def _ask_as_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    other = SupervisedEvaluator(torch.device("cpu"), [], nn.Identity(), inferer=SimpleInferer())
    records = [record(float(n)) for n in range(3)]
    made = probe_evaluator(other, records, Compose([Identityd("image")]), Identityd("pred"), [])
    (folder / f"{rank}").write_text(str([int(item["image"].max()) for (item,) in made.data_loader]))
    torch.distributed.destroy_process_group()


def test_processes_share_the_images(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_ask_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [(tmp_path / name).read_text() for name in "01"] == ["[0, 2]", "[1]"]
