# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The work of a site: evaluate what came, train it on, give back what was trained; at the end, evaluate a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigWorkflow, create_workflow

from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.data import validate_records
from monai_vlsm.errors import UserError, first_cause
from monai_vlsm.federated.exchange import outgoing, put
from monai_vlsm.federated.terms import FederatedError, compare_terms, packed, terms_of

__all__ = ["Outcome", "Site"]

_OTHER_ORDER = 1000  # what a round adds to the seed: sites are numbered below it


@dataclass(frozen=True)
class Outcome:
    """What leaves a site after a round.

    Args:
        weights: name to float32 values, what was trained (`monai_vlsm.federated.outgoing`).
        images: number of training images, the weight of the site in the average.
        scores: of the model that was *received*, on the validation images of the site.
    """

    weights: Mapping[str, np.ndarray]
    images: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Site:
    """One site: a bundle on its own images.

    Each round begins with a new optimizer, schedule and early stopping. Only the weights are kept, and the server keeps
    them, so that a site which died takes part again from the next round on.

    Args:
        bundle: folder of the bundle.
        data: folder with the images of the site.
        output: folder for what the site keeps for itself; a subfolder for each round.
        terms: `terms_of` the model that the federation begins with. The bundle takes from them, as from a file that a
            training goes on from, what ``settings`` do not say.
        epochs: of local training in a round.
        seed: another one for each site, below 1000.
        settings: of the bundle, by name.
    """

    bundle: Path
    data: Path
    output: Path
    terms: Mapping[str, Any]
    epochs: int = 1
    seed: int = 41
    settings: Mapping[str, Any] = field(default_factory=dict)

    def train(self, weights: Mapping[str, np.ndarray], number: int) -> Outcome:
        """Take part in a round.

        Args:
            weights: what the server sent.
            number: of the round, from 0.

        Raises:
            FederatedError: another network than the federation's, no images, or values that are no numbers.
            UserError: whatever a training of the bundle refuses.
        """
        workflow = self._training(number)
        parser: Any = workflow.parser
        try:
            trained: TrainedState = parser.get_parsed_content("trained")
            compare_terms(self.terms, terms_of(trained.settings()))
            images = self._images(parser)
            trained.load_state_dict(put(trained.state_dict(), weights))
            scores = _scores(parser.get_parsed_content("validate#evaluator"))
            parser.get_parsed_content("train#trainer").run()
            return Outcome(outgoing(trained.state_dict()), images, scores)
        except Exception as error:
            raise _mendable(error) from None
        finally:
            workflow.finalize()

    def has_test(self) -> bool:
        """Whether the site has images to test on, which no training looks at.

        Raises:
            UserError: a folder that holds no dataset.
        """
        found: bool = self._lists().has_test()
        return found

    def makes_split(self) -> bool:
        """Whether nobody wrote down who validates at this site, so that the seed draws it.

        Raises:
            UserError: a folder that holds no dataset.
        """
        split = self._lists().split
        return split is not None and split.made

    def evaluate(self, model: Path, part: str, folder: Path) -> Path:
        """Evaluate a model on images of the site.

        Args:
            model: a ``model.pt``.
            part: val or test.
            folder: gets what an evaluation of the bundle writes.

        Returns:
            the folder.

        Raises:
            UserError: whatever an evaluation of the bundle refuses.
        """
        own = {"output_dir": str(folder), "model_file": str(model), "val_split": part, "overlays": 0, "probes": False}
        workflow = self._workflow("infer", ["train", "evaluate"], own)
        try:
            workflow.run()
        except Exception as error:
            raise _mendable(error) from None
        finally:
            workflow.finalize()
        return folder

    def _lists(self) -> Any:
        try:
            return self._workflow("train", ["train"], {}).parser.get_parsed_content("lists")
        except Exception as error:
            raise _mendable(error) from None

    def _training(self, number: int) -> ConfigWorkflow:
        folder = self.output / f"round-{number}"
        own = {
            "ckpt_dir": str(folder),
            "output_dir": str(folder),
            "epochs": self.epochs,
            "val_interval": self.epochs,
            "seed": self.seed + _OTHER_ORDER * (number + 1),
            "overlays": 0,
            "saved": f"$monai_vlsm.federated.terms.unpacked('{packed(self.terms)}')",
        }
        return self._workflow("train", ["train"], own)

    def _workflow(self, kind: str, configs: list[str], own: Mapping[str, Any]) -> ConfigWorkflow:
        """A bundle on the images of this site, of which the same are for validation whenever it runs."""
        places = {"bundle_root": str(self.bundle), "dataset_dir": str(self.data), "lists#seed": self.seed}
        files = [str(self.bundle / "configs" / f"{name}.json") for name in configs]
        return create_workflow(
            config_file=files, workflow_type=kind, logging_file=False, **{**self.settings, **places, **own}
        )

    def _images(self, parser: Any) -> int:
        """How many training images there are, after a look at all records."""
        lists = [parser.get_parsed_content(f"{part}#dataset#data") for part in ("train", "validate")]
        for records, what in zip(lists, ("train", "validate"), strict=True):
            if not len(records):
                raise FederatedError(f"it has no images to {what} on; give the site its own folder of images")
        validate_records(*lists, files=parser.get_parsed_content("files"))
        parser.get_parsed_content("network").require_prompts(lists[0])
        return len({str(record.get("image_id", record["image"])) for record in lists[0]})


def _mendable(error: Exception) -> Exception:
    """The error that says what to do, which MONAI wraps in others; the error itself where there is none."""
    cause = first_cause(error)
    return cause if isinstance(cause, UserError) else error


def _scores(evaluator: Any) -> dict[str, float]:
    evaluator.run()
    scores = {name: float(value) for name, value in evaluator.state.metrics.items()}
    for name, value in scores.items():
        if not math.isfinite(value):
            raise FederatedError(f"{name} of the received model is {value} on the images of this site")
    return scores
