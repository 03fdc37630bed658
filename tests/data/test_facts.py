# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is known of files: each is decoded once, whoever asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from monai_vlsm.data import (
    DatasetProblems,
    KnownFiles,
    check_records,
    probe_records,
    validate_records,
    with_absent_prompts,
)
from monai_vlsm.data import facts as facts_module
from monai_vlsm.data.reader import ImageFileReader
from tests.data.files import save, square


@contextmanager
def decodes() -> Iterator[Counter[str]]:
    """How often each file is decoded, be it for its pixels or only as far as shows that it is whole."""
    count: Counter[str] = Counter()
    get_data, verify = ImageFileReader.get_data, facts_module.verify_image

    def counted_data(self: ImageFileReader, img: Any) -> Any:
        count.update(Path(path).name for path in img)
        return get_data(self, img)

    def counted_verify(path: Path) -> Any:
        count[path.name] += 1
        return verify(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFileReader, "get_data", counted_data)
        patch.setattr(facts_module, "verify_image", counted_verify)
        yield count


def dataset(folder: Path) -> list[dict[str, Any]]:
    """Two images with a lung and a liver each; the liver of the second is not there."""
    records = []
    for name in ("a", "b"):
        image = str(save(square(value=99), folder / f"{name}.png"))
        for organ in ("lung", "liver"):
            value = 0 if (name, organ) == ("b", "liver") else 255
            mask = str(save(square(value=value), folder / f"{name}_{organ}.png"))
            records.append({"image": image, "label": mask, "prompt": {"p1": organ}, "name": f"{name}_{organ}"})
    return records


def test_check_absent_prompts_and_probes_decode_each_file_once(tmp_path: Path) -> None:
    training, validation = dataset(tmp_path), dataset(tmp_path)[:3]
    files = KnownFiles()
    with decodes() as count:
        marked = with_absent_prompts(training, 0.25, files=files)
        validate_records(marked, validation, files=files)
        probes = probe_records(validation, files=files)
    assert [one.get("absent") for one in marked] == [None, None, [{"p1": ["liver"]}], [{"p1": ["liver"]}]]
    assert len(probes) == 2
    assert count == dict.fromkeys(("a.png", "b.png", *(Path(one["label"]).name for one in training)), 1)


def test_without_what_is_known_the_answers_are_the_same(tmp_path: Path) -> None:
    records = dataset(tmp_path)
    files = KnownFiles()
    check_records(records, files)
    assert with_absent_prompts(records, 0.25) == with_absent_prompts(records, 0.25, files=files)
    assert probe_records(records) == probe_records(records, files=files)


def test_a_file_in_another_role_is_looked_at_again(tmp_path: Path) -> None:
    """As an image it is sound; as a mask it is none."""
    file = tmp_path / "labels.png"
    labels = square(value=1)
    labels[:4] = 2
    Image.fromarray(labels).save(file)
    files = KnownFiles()
    validate_records([{"image": str(file), "prompt": "brain"}], files=files)
    with pytest.raises(DatasetProblems, match="a label map"):
        validate_records([{"image": str(file), "label": str(file), "prompt": "brain"}], files=files)
    with decodes() as count:
        check_records([{"image": str(file), "label": str(file), "prompt": "brain"}], files)
    assert not count
