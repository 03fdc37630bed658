# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""In which type a network calculates on which device: mixed precision (autocast)."""

from __future__ import annotations

import os

import torch

__all__ = ["autocast_dtype", "cpu_has_bf16", "gpu_autocast"]

# names in torch.cpu.get_capabilities(); without one of them bfloat16 is emulated and slower than float32
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
ISA_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ``ONEDNN_MAX_CPU_ISA`` that keep oneDNN from instructions that the CPU has."""


def cpu_has_bf16() -> bool:
    """Whether this CPU calculates in bfloat16, and torch and oneDNN have not been told to do without."""
    capabilities = torch.cpu.get_capabilities()
    limited = capabilities.get("avx2", False) and torch.backends.cpu.get_cpu_capability() in ("AVX2", "DEFAULT")
    if limited or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISA_WITHOUT_BF16:
        return False
    return any(capabilities.get(name, False) for name in BF16_INSTRUCTIONS)


def autocast_dtype(device: torch.device | str, amp: bool = True, amp_dtype: str = "bfloat16") -> torch.dtype | None:
    """The type in which a bundle's network calculates where it may; None is float32 throughout.

    Args:
        device: where the network is. On others than CPUs and CUDA's GPUs (Apple's, Intel's) it is float32.
        amp: whether mixed precision is wanted.
        amp_dtype: name of the type on a GPU. On a CPU it is bfloat16, where the CPU has it (see `PromptInferer`).
    """
    if torch.device(device).type == "cpu":
        return torch.bfloat16 if amp and cpu_has_bf16() else None
    return getattr(torch, amp_dtype) if amp and torch.device(device).type == "cuda" else None


def gpu_autocast(device: torch.device | str, amp: bool = True, amp_dtype: str = "bfloat16") -> torch.autocast:
    """Mixed precision on a GPU, for a ``with``; on other devices nothing, and on a CPU `PromptInferer` does it.

    Args:
        device: where the network is.
        amp: whether it is wanted.
        amp_dtype: name of its type.
    """
    return torch.autocast("cuda", getattr(torch, amp_dtype), enabled=amp and torch.device(device).type == "cuda")
