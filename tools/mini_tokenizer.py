# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of clipseg-mini: CLIP's byte-level BPE with few merges, learnt from the prompt grammar."""

from __future__ import annotations

import json
from pathlib import Path

from mini_prompts import all_texts
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

__all__ = ["END", "START", "byte_symbols", "learn_merges", "write_tokenizer"]

START, END = "<|startoftext|>", "<|endoftext|>"
_MERGES = 900
# Written by hand; each word is one that a prompt about medical pictures is likely to use.
_MEDICAL = """
abdomen abnormal adenoma airway anterior aorta appearance area artery axial background benign bladder blood body bone
border boundary bowel brain breast bright cancer cardiac cartilage cavity cell center central cerebellum cerebral
cerebrospinal cervical chest circular class colon colonoscopy colored coronal cortex cyst dark darker dermoscopy
diastole disc disease ear echo edema edge endoscopy epicardium epithelium esophagus eye fat femur fetal fluid foot
fundus gallbladder gland glioma grade gray grey gut hand head heart hemisphere hemorrhage hepatic hip histology
hyperechoic hypoechoic image infection inferior instrument intestine irregular kidney knee large lateral left lesion
ligament light lighter liver located location lower lung lymph malignant mandible margin mass matter medial medical
medium melanoma membrane mid middle mole muscle myocardium neck necrosis nerve nevus node nodule normal nucleus object
one optic organ oval ovary pancreas patient pelvis photo picture pigment pink pleura pneumonia polyp posterior
prostate radiograph rectum renal retina rib right round scan sagittal scar septum shape shoulder side single size skin
skull slice small spine spleen spot stomach structure superior surgical systole teeth temporal texture thin thorax
three thyroid tissue tongue tool tooth trachea tumor tumour two ulcer ultrasound upper uterus vein ventricle vertebra
vessel view volume wall white whole wound with xray
"""


def byte_symbols() -> list[str]:
    """The 256 printable characters that stand for bytes, in the order of CLIP's vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + place) for place in range(len(rest))]


def learn_merges(texts: list[str], count: int) -> list[tuple[str, str]]:
    """Learn BPE merges with CLIP's word end ``</w>`` from texts.

    Args:
        texts: training texts.
        count: largest number of merges.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    split = pre_tokenizers.Split(" ", "removed")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=10**6, end_of_word_suffix="</w>", show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(texts, trainer)
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]][:count]


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write ``vocab.json``, ``merges.txt`` and the configuration files, and return the loaded tokenizer.

    Args:
        folder: an existing folder.
    """
    texts = all_texts(4000) + _MEDICAL.split() * 4
    merges = learn_merges(texts, _MERGES)
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(pair) for pair in merges]
    tokens = [*dict.fromkeys(tokens), START, END]
    places = {token: place for place, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(places, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings: dict[str, object] = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
    }
    settings |= {"pad_token": END, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), "utf-8")
    return CLIPTokenizer.from_pretrained(folder)
