# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A small training with every handler, for the tests; as a program it is interrupted by them.

``python -m tests.handlers.toy FOLDER --resume False`` trains, and prints ``epoch 3`` when the third epoch has begun.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, StatsHandler, ValidationHandler, from_engine
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.transforms import Activationsd, AsDiscreted, Compose, CopyItemsd, RandFlipd, RandGaussianNoised
from monai.utils import set_determinism

from monai_vlsm.handlers import (
    ClipGradNorm,
    CurvePlot,
    EarlyStop,
    EpochSeed,
    InterruptExit,
    ModelSaver,
    NaNGuard,
    ProgressBar,
    RateSchedule,
    ScoreWriter,
    TrainingState,
)
from monai_vlsm.metrics import Hausdorff95Metric

SIZE = 16


def records(count: int, structures: int = 1, size: tuple[int, int] = (SIZE, SIZE)) -> list[dict[str, Any]]:
    """Images of noise with a bright square each; the square is the mask of every structure."""
    generator = torch.Generator().manual_seed(count)
    items = []
    for index in range(count):
        label = torch.zeros(structures, *size)
        label[:, 2 + index % 5 : 9 + index % 5, 3:11] = 1
        image = torch.randn(3, *size, generator=generator) * 0.5 + label[:1]
        prompt = "square" if structures == 1 else [f"square {k}" for k in range(structures)]
        items.append({"image": image, "label": label, "prompt": prompt, "name": f"case{index}", "dataset": "toy"})
    return items


def evaluator(
    network: torch.nn.Module,
    data: list[dict[str, Any]],
    handlers: list[Any],
    slow: float = 0.0,
    batches: list[list[int]] | None = None,
) -> SupervisedEvaluator:
    """Dice as key metric, HD95, and a loss on the logits; each iteration takes ``slow`` seconds longer.

    Batches of one record, or those given as indices.
    """

    class Inferer(SimpleInferer):
        def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            time.sleep(slow)
            return super().__call__(*args, **kwargs)

    masks = from_engine(["pred", "label"])
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data), batch_size=1, batch_sampler=batches),
        network=network,
        inferer=Inferer(),
        postprocessing=Compose(
            [
                CopyItemsd("pred", names="logits"),
                Activationsd("pred", sigmoid=True),
                AsDiscreted("pred", threshold=0.5),
            ]
        ),
        key_val_metric={"val_dice": IgniteMetricHandler(DiceMetric(ignore_empty=False), output_transform=masks)},
        additional_metrics={
            "val_hd95": IgniteMetricHandler(Hausdorff95Metric(), output_transform=masks),
            "val_loss": IgniteMetricHandler(
                loss_fn=DiceCELoss(sigmoid=True), output_transform=from_engine(["logits", "label"])
            ),
        },
        val_handlers=handlers,
    )


def trainer(
    folder: Path,
    epochs: int = 4,
    resume: bool = False,
    workers: int = 0,
    interval: int = 1,
    extra: tuple[Any, ...] = (),
    slow: float = 0.0,
    train_data: list[dict[str, Any]] | None = None,
    stream: TextIO | None = None,
) -> SupervisedTrainer:
    """What the bundle's training has, overlays excepted, with a network of 149 weights and dropout."""
    set_determinism(7)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Conv2d(4, 1, 3, padding=1)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=0, threshold=0.5)
    scores = ScoreWriter(folder, ["val_dice", "val_hd95"])
    validator = evaluator(network, records(3), [InterruptExit(), StatsHandler(iteration_log=False), scores], slow)
    early_stop = EarlyStop(validator, "val_dice", patience=20)
    saver = ModelSaver(network, folder / "model.pt", validator)
    curves = CurvePlot(folder / "curves.png", validator, losses=["val_loss"], scores=["val_dice"])
    objects = {
        "model": network,
        "optimizer": optimizer,
        "lr_scheduler": scheduler,
        "early_stop": early_stop,
        "best": saver,
        "curves": curves,
    }
    transform = Compose([RandFlipd("image", prob=0.5, spatial_axis=0), RandGaussianNoised("image", prob=0.9, std=0.3)])
    loader = DataLoader(Dataset(train_data or records(6), transform), batch_size=2, shuffle=True, num_workers=workers)
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=DiceCELoss(sigmoid=True),
        train_handlers=[
            InterruptExit(),
            EpochSeed(seed=41),
            NaNGuard(),
            ClipGradNorm(0.5),
            ValidationHandler(interval=interval, validator=validator),
            RateSchedule(scheduler, validator, "val_loss"),
            early_stop,
            saver,
            ProgressBar(validator, stream),
            curves,
            StatsHandler(output_transform=from_engine(["loss"], first=True)),
            *extra,
            TrainingState(objects, folder / "last.pt", resume),
        ],
    )


def main(folder: str, _flag: str, resume: str) -> None:
    """Train 4 epochs; unless resumed, dawdle in epoch 3 so that the tests can interrupt it."""
    engine = trainer(Path(folder), resume=resume == "True", slow=0.0 if resume == "True" else 0.2)

    @engine.on(Events.EPOCH_STARTED(once=3))
    def _say(engine: Engine) -> None:
        print("epoch 3", flush=True)

    if resume != "True":
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: time.sleep(0.2))
    engine.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
