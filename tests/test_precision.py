# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_vlsm.precision import autocast_dtype, cpu_has_bf16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, False), ({"avx512_f": True}, False), ({"avx512_bf16": True}, True), ({"bf16": True}, True)],
)
def test_cpu_has_bf16(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert cpu_has_bf16() is expected


@pytest.mark.parametrize(
    ("torch_uses", "onednn_may", "expected"),
    [
        ("AVX512", None, True),
        ("AVX2", None, False),
        ("DEFAULT", None, False),
        ("AVX512", "AVX2", False),
        ("AVX512", "avx512_core", False),
        ("AVX512", "AVX512_CORE_BF16", True),
    ],
)
def test_bf16_only_where_torch_and_onednn_may_use_it(
    monkeypatch: pytest.MonkeyPatch, torch_uses: str, onednn_may: str | None, expected: bool
) -> None:
    """Both can be told to use less than the CPU has; bfloat16 would then be emulated, ten times as slow."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": True})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: torch_uses)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if onednn_may is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", onednn_may)
    assert cpu_has_bf16() is expected


@pytest.mark.parametrize(
    ("device", "amp", "expected"),
    [("cuda:1", True, torch.bfloat16), ("cuda", False, None), ("mps", True, None), ("xpu", True, None)],
)
def test_type_of_mixed_precision(device: str, amp: bool, expected: torch.dtype | None) -> None:
    """That in which MONAI's engines run a network there, whose mixed precision is for CUDA."""
    assert autocast_dtype(device, amp) == expected
