# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a visitor is told of an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_vlsm.demo.replies import plainly
from monai_vlsm.demo.visit import NotThereError
from monai_vlsm.errors import UserError, causes
from tests.test_errors import chain


def told(error: BaseException) -> BaseException:
    def fail(path: Path) -> None:
        raise error

    with pytest.raises(BaseException) as raised:
        plainly(Path("/server/files/x.png"), fail)
    assert raised.value not in list(causes(raised.value.__cause__))
    return raised.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (chain(ValueError("plain words"), KeyError("x")), "plain words"),
        (chain(RuntimeError("transform"), ValueError("plain words"), KeyError("x")), "plain words"),
        (chain(RuntimeError("transform"), ValueError("rows"), ValueError("plain words")), "plain words"),
        (chain(RuntimeError("transform"), UserError("plain words"), ValueError("rows")), "plain words"),
        (OSError("/server/files/x.png: plain words"), "x.png: plain words"),
    ],
)
def test_what_is_told_in_its_own_words(error: BaseException, words: str) -> None:
    found = told(error)
    assert isinstance(found, NotThereError) and str(found) == words


@pytest.mark.parametrize("deepest", [KeyError("x"), MemoryError(), torch.OutOfMemoryError("full")])
@pytest.mark.parametrize("wrapped", [False, True])
def test_others_are_raised_as_they_are(deepest: BaseException, wrapped: bool) -> None:
    assert told(chain(RuntimeError("transform"), deepest) if wrapped else deepest) is deepest


def test_memory_that_ends_is_told_also_where_something_else_was_raised_from_it() -> None:
    memory = MemoryError()
    assert told(chain(ValueError("cannot read"), memory)) is memory


def test_causes_in_a_circle() -> None:
    one = RuntimeError("one")
    chain(one, KeyError("other"), one)
    assert isinstance(told(one), KeyError)
