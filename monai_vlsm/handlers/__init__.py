# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Event handlers for MONAI's trainer and evaluator.

Order in ``train_handlers``: :class:`InterruptExit`, :class:`EpochSeed`, :class:`NaNGuard`, :class:`ClipGradNorm`,
``ValidationHandler``, :class:`RateSchedule`, :class:`EarlyStop`, :class:`ModelSaver`, :class:`ProgressBar`,
:class:`CurvePlot`, MONAI's StatsHandler, :class:`TensorBoardLog`, :class:`TrainingState` (last). :class:`HandlerList`
attaches them in this order, and tells those that follow the validation its evaluator. Behind :class:`InterruptExit`
stand, where they are wanted, :class:`WeightAverage` and :class:`ContrastiveTerm`.

Order in ``val_handlers``: :class:`InterruptExit`, :class:`ScoreWriter`, :class:`OverlayWriter`, MONAI's handlers
(give its StatsHandler ``iteration_log=False``: an evaluator has no loss to print). An evaluation also has
:class:`CalibrationWriter` and :class:`RunInfoWriter`.

Metrics of both: :class:`PromptMetric`, so that no mean mixes prompts of different tags. Before a run starts
:func:`claim_folders` keeps others out of its folders.

With an evaluator of their own (`monai_vlsm.probing`): :class:`ProbeWriter`, :class:`ThresholdSetter`. For inference:
:class:`ExistenceWriter`.
"""

from __future__ import annotations

from monai_vlsm.handlers.calibration import CalibrationWriter
from monai_vlsm.handlers.case_scores import CaseScoreWriter
from monai_vlsm.handlers.clip_grad import ClipGradNorm
from monai_vlsm.handlers.contrast import ContrastError, ContrastiveTerm
from monai_vlsm.handlers.curves import CurvePlot
from monai_vlsm.handlers.early_stop import EarlyStop
from monai_vlsm.handlers.engine_state import mean_loss, own_loss, per_structure
from monai_vlsm.handlers.epoch_seed import EpochSeed
from monai_vlsm.handlers.existence import ExistenceWriter, ThresholdSetter
from monai_vlsm.handlers.folder_lock import FolderInUseError, claim_folders, release_folders, require_free_folders
from monai_vlsm.handlers.handler_list import HandlerList
from monai_vlsm.handlers.interrupt import InterruptExit, InterruptNote
from monai_vlsm.handlers.model_saver import ModelSaver
from monai_vlsm.handlers.nan_guard import NaNGuard, NonFiniteError
from monai_vlsm.handlers.overlay_writer import OverlayWriter
from monai_vlsm.handlers.probes import ProbeWriter
from monai_vlsm.handlers.progress import ProgressBar
from monai_vlsm.handlers.prompt_metric import PromptMetric
from monai_vlsm.handlers.rate_schedule import RateSchedule, rate_schedule
from monai_vlsm.handlers.run_info import RunInfoWriter
from monai_vlsm.handlers.run_summary import RunSummary
from monai_vlsm.handlers.scores import ScoreWriter
from monai_vlsm.handlers.tensorboard import TensorBoardLog
from monai_vlsm.handlers.training_state import NothingToResumeError, ResumeError, TrainingState, require_state
from monai_vlsm.handlers.weight_average import WeightAverage

__all__ = [
    "CalibrationWriter",
    "CaseScoreWriter",
    "ClipGradNorm",
    "ContrastError",
    "ContrastiveTerm",
    "CurvePlot",
    "EarlyStop",
    "EpochSeed",
    "ExistenceWriter",
    "FolderInUseError",
    "HandlerList",
    "InterruptExit",
    "InterruptNote",
    "ModelSaver",
    "NaNGuard",
    "NonFiniteError",
    "NothingToResumeError",
    "OverlayWriter",
    "ProbeWriter",
    "ProgressBar",
    "PromptMetric",
    "RateSchedule",
    "ResumeError",
    "RunInfoWriter",
    "RunSummary",
    "ScoreWriter",
    "TensorBoardLog",
    "ThresholdSetter",
    "TrainingState",
    "WeightAverage",
    "claim_folders",
    "mean_loss",
    "own_loss",
    "per_structure",
    "rate_schedule",
    "release_folders",
    "require_free_folders",
    "require_state",
]
