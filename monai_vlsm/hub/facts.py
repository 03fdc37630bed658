# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a card is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_vlsm.adapters import adaptation_kinds
from monai_vlsm.backbones import MINI, load_architecture
from monai_vlsm.backbones.licences import weights_licence
from monai_vlsm.checkpoints import SETTINGS_KEY
from monai_vlsm.data.catalogue import DatasetCard, dataset_card, known_datasets
from monai_vlsm.hub.evaluation import Evaluation
from monai_vlsm.hub.files import is_shared_backbone, public_settings

__all__ = ["CardFacts"]


@dataclass(frozen=True)
class CardFacts:
    """What is known of some adapters.

    Args:
        repo_id: where the adapters will be.
        adapters: the state that the file holds.
        evaluation: what an evaluation of it found, if there is one.
        datasets: what it was trained on, names of the catalogue or others; empty if not known.
        license: of the adapters, as the Hub spells it; None if not stated.
        data_license: of the data that it was trained on, in words; None if not stated.
        overlay: whether that of ``evaluation.case`` goes with the card.
    """

    repo_id: str
    adapters: Mapping[str, Any]
    evaluation: Evaluation | None = None
    datasets: Sequence[str] = ()
    license: str | None = None
    data_license: str | None = None
    overlay: bool = False

    @property
    def name(self) -> str:
        """The repository without its owner."""
        return self.repo_id.rpartition("/")[2]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the adapters, without what is only true on this machine."""
        return public_settings(self.adapters[SETTINGS_KEY])

    @property
    def is_local(self) -> bool:
        """Whether the base is a folder, whose name tells others nothing."""
        return not is_shared_backbone(self.adapters[SETTINGS_KEY]["backbone"])

    @property
    def module(self) -> str | None:
        """The module of an adaptation that this package does not have; None for its own."""
        kinds = adaptation_kinds(self.settings.get("adaptation", {}))
        return next((kind.rpartition(":")[0] for kind in kinds if ":" in kind), None)

    @property
    def base_id(self) -> str | None:
        """Name of the base on the Hub; None for one that ships with the package, or is a local folder."""
        backbone: str = self.settings["backbone"]
        if self.is_local or backbone == MINI:
            return None
        found: str = backbone if "/" in backbone else load_architecture(backbone)["clip"]
        return found if "/" in found else None

    @property
    def base_licence(self) -> str | None:
        """Licence of the base's weights; None if not known on this machine."""
        return weights_licence(self.adapters[SETTINGS_KEY]["backbone"])

    @property
    def known_datasets(self) -> list[DatasetCard]:
        """Cards of the datasets that it was trained and evaluated on, as far as the catalogue has them."""
        evaluated = self.evaluation.datasets if self.evaluation else ()
        names = dict.fromkeys((*self.datasets, *evaluated))
        return [dataset_card(name) for name in names if name in known_datasets()]
