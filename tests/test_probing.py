# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An evaluator of questions beside that of the scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.inferers import SimpleInferer
from monai.transforms import Compose, Identityd
from torch import nn

from monai_vlsm.caches import Caching
from monai_vlsm.probing import probe_evaluator


def test_it_runs_the_network_as_the_other_does_on_each_question(tmp_path: Path) -> None:
    inferer, network = SimpleInferer(), nn.Identity()
    other = SupervisedEvaluator(
        torch.device("cpu"), [], network, inferer=inferer, amp=True, amp_kwargs={"dtype": torch.bfloat16}
    )
    records = [
        {"image": torch.full((1, 2, 2), float(n)), "label": torch.zeros(1, 2, 2), "probes": object()} for n in range(3)
    ]
    seen: list[Any] = []
    keep = Caching(folder=tmp_path / "cache", images="disk")
    made = probe_evaluator(other, records, Compose([Identityd("image")]), Identityd("pred"), [], keep)
    made.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(engine.state.output[0]["pred"].max()))
    made.run()
    assert seen == [0.0, 1.0, 2.0]
    assert made.network is network and made.inferer is inferer and made.amp_kwargs == other.amp_kwargs
    assert made.state.batch[0].keys() == {"image", "label"}
    assert not (tmp_path / "cache").exists()


def _ask_as_rank(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    other = SupervisedEvaluator(torch.device("cpu"), [], nn.Identity(), inferer=SimpleInferer())
    records = [{"image": torch.full((1, 2, 2), float(n)), "label": torch.zeros(1, 2, 2)} for n in range(3)]
    made = probe_evaluator(other, records, Compose([Identityd("image")]), Identityd("pred"), [])
    (folder / f"{rank}").write_text(str([int(item["image"].max()) for item in made.data_loader]))
    torch.distributed.destroy_process_group()


def test_processes_share_the_images(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(_ask_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [(tmp_path / name).read_text() for name in "01"] == ["[0, 2]", "[1]"]
