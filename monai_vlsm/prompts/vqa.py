# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Shape and colour words from a model that answers questions about images, as the VLSM-Adapter authors made theirs.

They drew a green box around the structure and asked OFA two questions. Any model of transformers' "image-text-to-text"
pipeline will do here (the "visual-question-answering" pipeline is gone from transformers 5). The answers are free text,
differ from model to model, and come from an image with the true box: they are ``mask-derived``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from monai_vlsm.errors import UserError

__all__ = ["QUESTIONS", "ask_about", "boxed", "load_answerer"]

Answerer = Callable[[Image.Image, str], str]
QUESTIONS = {
    "shape": "What is the shape of {class} enclosed in green box?",
    "colour": "What is the color of {class} enclosed in green box?",
}
GREEN = (0, 255, 0)


class AnswererError(UserError, ValueError):
    """A model that should answer questions and cannot be had."""


def load_answerer(model: str) -> Answerer:
    """A function that answers a question about an image with a model from the Hugging Face Hub or a local folder.

    Args:
        model: name or folder of a model for the "image-text-to-text" pipeline.

    Raises:
        AnswererError: a model that cannot be had.
    """
    from transformers import pipeline  # takes seconds, and only this needs it

    try:
        return _Pipeline(pipeline("image-text-to-text", model=model))
    except (OSError, ValueError, KeyError) as error:  # not found, offline, no such kind of model
        reason = str(error).partition("\n")[0]
        raise AnswererError(f"no model {model!r} for --vqa: {reason} Give a name on the Hub, or a folder") from error


class _Pipeline:
    """Asks a transformers pipeline; models with a chat template are asked in a chat, for one word."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.chats = getattr(pipe.processor, "chat_template", None) is not None

    def __call__(self, image: Image.Image, question: str) -> str:
        options = {"return_full_text": False, "max_new_tokens": 12}
        if not self.chats:
            return str(self.pipe(images=image, text=question, **options)[0]["generated_text"])
        asked = [{"type": "image", "image": image}, {"type": "text", "text": f"{question} Answer in one word."}]
        return str(self.pipe(text=[{"role": "user", "content": asked}], **options)[0]["generated_text"])


def ask_about(answerer: Answerer, image: np.ndarray, mask: np.ndarray, name: str) -> dict[str, str]:
    """Ask for shape and colour.

    Args:
        answerer: called with an image and a question, returns the answer.
        image: ``(H, W)`` or ``(H, W, 3)``, 8-bit.
        mask: ``(H, W)``, whatever is above zero counts.
        name: class of the structure, part of the questions.

    Returns:
        ``shape`` and ``colour`` in lower case, without a full stop; nothing for an empty mask.
    """
    if not mask.any():
        return {}
    shown = boxed(image, mask)
    answers = {field: answerer(shown, text.format_map({"class": name})) for field, text in QUESTIONS.items()}
    return {field: answer.strip().split("\n")[0].rstrip(" .").lower() for field, answer in answers.items()}


def boxed(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The image as RGB with a green box around the mask."""
    drawn = Image.fromarray(image).convert("RGB")
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    width = max(2, max(drawn.size) // 200)
    corners = (columns[0] - width, rows[0] - width, columns[-1] + width, rows[-1] + width)
    ImageDraw.Draw(drawn).rectangle([int(corner) for corner in corners], outline=GREEN, width=width)
    return drawn
