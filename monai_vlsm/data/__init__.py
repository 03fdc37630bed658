# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Data: files to records, the reader of every format, and the check before training."""

from __future__ import annotations

from monai_vlsm.data.absent import ClassPromptError
from monai_vlsm.data.ahead import made_ahead
from monai_vlsm.data.by_image import IMAGE_ROWS, ImageSampler, distinct_rows, image_batches, without_repeats
from monai_vlsm.data.check import check_records, validate_records
from monai_vlsm.data.datalist import DataLists, NoPromptError, load_datalist, load_images
from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.data.fractions import part_of
from monai_vlsm.data.listing import ImagesNotFoundError, LeftOut, Listing, list_images
from monai_vlsm.data.loader import ItemLoader, SeededLoader, default_workers
from monai_vlsm.data.masks import binary_fault, mask_channel
from monai_vlsm.data.negatives import NothingAbsentError, absent_probability, with_absent_prompts
from monai_vlsm.data.padding import MASK_KEYS, NO_PROMPT, TOKEN_KEYS, collate_prompts
from monai_vlsm.data.probes import Probe, probe_records, questions
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.reader import SUPPORTED_SUFFIXES, ImageFileReader, is_supported
from monai_vlsm.data.shares import ScoringShare, TrainingShare

__all__ = [
    "IMAGE_ROWS",
    "MASK_KEYS",
    "NO_PROMPT",
    "SUPPORTED_SUFFIXES",
    "TOKEN_KEYS",
    "ClassPromptError",
    "DataLists",
    "DatasetProblems",
    "ImageFileReader",
    "ImageSampler",
    "ImagesNotFoundError",
    "ItemLoader",
    "KnownFiles",
    "LeftOut",
    "Listing",
    "NoPromptError",
    "NothingAbsentError",
    "Probe",
    "Problem",
    "ScoringShare",
    "SeededLoader",
    "TrainingShare",
    "absent_probability",
    "binary_fault",
    "check_records",
    "collate_prompts",
    "default_workers",
    "distinct_rows",
    "image_batches",
    "is_supported",
    "list_images",
    "load_datalist",
    "load_images",
    "made_ahead",
    "mask_channel",
    "part_of",
    "probe_records",
    "questions",
    "validate_records",
    "with_absent_prompts",
    "without_repeats",
]
