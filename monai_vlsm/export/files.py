# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write a module as TorchScript or ONNX, with all that a program needs to know inside."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from monai.data import save_net_with_metadata
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from monai_vlsm.export.problems import ExportError
from monai_vlsm.io import replacing, write_bytes

__all__ = ["FORMATS", "quiet", "require_packages", "write_onnx", "write_torchscript"]

FORMATS = {"onnx": ".onnx", "torchscript": ".ts"}
OPSETS = range(18, 21)  # below 18 CRIS has no fold; torch's exporter by trace ends at 20


def require_packages(kind: str, opset: int) -> None:
    """Check that a format can be written here, before any work is done.

    Args:
        kind: a key of `FORMATS`.
        opset: version of ONNX's operators.

    Raises:
        ExportError: when a package is missing, or the opset is not one of `OPSETS`.
    """
    if kind != "onnx":
        return
    missing = [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]
    if missing:
        raise ExportError(f"ONNX files need {' and '.join(missing)}: pip install 'monai_vlsm[export]'")
    if opset not in OPSETS:
        raise ExportError(f"--opset must be from {OPSETS[0]} to {OPSETS[-1]}, got {opset}")


def write_torchscript(module: nn.Module, arguments: Sequence[Tensor], path: Path, info: Mapping[str, Any]) -> None:
    """Trace a module and save it, its weights as constants, so that parts that it does not run are not saved.

    Args:
        module: in evaluation mode.
        arguments: example inputs.
        path: the file.
        info: plain values, read back by `monai.data.load_net_with_metadata`.
    """
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(module, tuple(arguments), check_trace=False)
        frozen = torch.jit.freeze(traced, optimize_numerics=False)
        buffer = io.BytesIO()  # torch may end the process when it cannot write a file itself
        save_net_with_metadata(frozen, buffer, meta_values=info)
    write_bytes(path, buffer.getvalue())


def write_onnx(
    module: nn.Module,
    arguments: Sequence[Tensor],
    names: Sequence[str],
    path: Path,
    info: Mapping[str, Any],
    opset: int,
) -> None:
    """Write a module as one ONNX file; the number of images and of prompts stays free.

    By trace (``dynamo=False``): torch 2.13's newer exporter mistranslates ``repeat_interleave`` with a free count, and
    its files fail with more than one image.

    Args:
        module: in evaluation mode.
        arguments: example inputs: images ``(B, 3, S, S)``, then tensors ``(B, K, ...)``.
        names: names of the inputs.
        path: the file.
        info: plain values, each of which becomes an entry of the file's ``metadata_props``, as JSON.
        opset: version of ONNX's operators.

    Raises:
        ExportError: when torch cannot translate the module.
    """
    import onnx

    buffer: Any = io.BytesIO()  # taken by torch, though its annotation names paths only
    axes = {"image": {0: "batch"}, "logits": {0: "batch", 1: "prompts"}}
    axes |= {name: {0: "batch_or_1", 1: "prompts"} for name in names[1:]}
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                module,
                tuple(arguments),
                buffer,
                input_names=list(names),
                output_names=["logits"],
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )
    except (RuntimeError, TypeError, ValueError) as error:  # torch raises many kinds
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"torch cannot write this network as ONNX with opset {opset}: {reason}. Take --format torchscript"
        ) from error
    proto = onnx.load_model_from_string(buffer.getvalue())
    _describe(proto, arguments[0].shape[-1], info)
    onnx.checker.check_model(proto)
    with replacing(path) as temporary:
        onnx.save_model(proto, temporary, format="protobuf", save_as_external_data=False)


def _describe(proto: Any, size: int, info: Mapping[str, Any]) -> None:
    import onnx

    for axis in (2, 3):  # the trace leaves them open
        proto.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = size
    onnx.helper.set_model_props(proto, {key: json.dumps(value) for key, value in info.items()})


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what torch says of any trace (sizes become constants, tracing is old): the file is checked afterwards."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # freezing reads all attributes, and one of a model complains
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
