# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What CAMUS says of its patients in ``Info_2CH.cfg`` and ``Info_4CH.cfg``, in the words of the prompts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from monai_vlsm.data.prepare.archive import Archive

__all__ = ["PatientInfo", "in_words", "patient_infos"]

INFO = re.compile(r"(^|/)patient(?P<number>\d{4})/Info_(?P<view>[24]CH)\.cfg$", re.I)
SEXES = {"F": "female", "M": "male"}
VIEWS = {"2CH": "two-chamber", "4CH": "four-chamber"}
CYCLES = {"ED": "diastole", "ES": "systole"}
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


@dataclass(frozen=True)
class PatientInfo:
    """One view of one patient.

    Args:
        sex: female or male.
        age: in years.
        quality: good, medium or poor image quality.
    """

    sex: str
    age: int
    quality: str

    @property
    def person(self) -> str:
        """As in the prompts: ``fifty-six-year-old female``."""
        return f"{in_words(self.age)}-year-old {self.sex}"

    def row(self, image: str, patient: str, view: str, cycle: str) -> dict[str, str]:
        """All that prompts may use of one image; ``view`` is 2CH or 4CH, ``cycle`` ED or ES."""
        words = {"view": VIEWS[view], "cycle": CYCLES[cycle], "gender": self.sex, "age": in_words(self.age)}
        return {"image": image, "patient": patient, **words, "quality": self.quality}


def patient_infos(archive: Archive, part: Callable[[str], str]) -> dict[tuple[str, int, str], PatientInfo]:
    """Part of the challenge, number of the patient and view to what is known; files that lack something are left out.

    Args:
        archive: the download.
        part: of the challenge that a file belongs to.
    """
    found = {}
    for name in archive.names:
        match = INFO.search(name)
        info = _parsed(archive.read(name).decode("utf-8", "replace")) if match else None
        if match and info:
            found[part(name), int(match["number"]), match["view"].upper()] = info
    return found


def _parsed(text: str) -> PatientInfo | None:
    lines = (line.partition(":") for line in text.splitlines())
    values = {key.strip().lower(): value.strip() for key, _, value in lines}
    sex, age = SEXES.get(values.get("sex", "").upper()), values.get("age", "")
    quality = values.get("imagequality", "").lower()
    return PatientInfo(sex, int(age), quality) if sex and age.isdecimal() and quality else None


def in_words(number: int) -> str:
    """A number from 0 to 199 as the prompts spell it: ``fifty-six``."""
    if number >= 100:
        return "one hundred" + (f" and {in_words(number - 100)}" if number > 100 else "")
    if number < 20:
        return (ONES + TEENS)[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{ONES[ones]}" if ones else "")
