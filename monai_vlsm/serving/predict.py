# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A trained model as one object: image file and prompts in, masks out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from monai.data import MetaTensor

from monai_vlsm.caches import EncodedPrompts
from monai_vlsm.checkpoints import PRECISION
from monai_vlsm.data import default_workers, load_images, made_ahead, validate_records
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import Address, chosen_plane, middle_slice
from monai_vlsm.errors import UserError
from monai_vlsm.handlers.nan_guard import require_answer
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.names import user_path
from monai_vlsm.networks import PromptedNet, load_network
from monai_vlsm.precision import gpu_autocast
from monai_vlsm.progress import progress_bar
from monai_vlsm.serving.pipeline import DISPLAY_STEPS, preprocessing
from monai_vlsm.serving.segmentation import Segmentation, best_view, texts_of, volume_segmentation
from monai_vlsm.serving.slices import SLICE_BATCH, channel_number, in_channel, sliced
from monai_vlsm.serving.spacing import file_spacing
from monai_vlsm.serving.uncertain import Doubter, UncertaintyOfOne
from monai_vlsm.transforms import PromptPostprocessing
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = ["DeviceNotFoundError", "Segmenter", "Watch", "find_device"]

Watch: TypeAlias = Callable[[MetaTensor, torch.Tensor], None]
"""Gets each slice of a volume: RGB within 0..1, ``(3, rows, columns)``, and probabilities ``(K, rows, columns)``."""

_PREPARED = "prepared"
_META = ("filename_or_obj", "original_affine", "space", "xyzt_units", "shown", "shown_by")


class DeviceNotFoundError(UserError, ValueError):
    """A device that this machine does not have."""


def find_device(name: str | torch.device | None = None) -> torch.device:
    """A device by its name; None takes the GPU if there is one.

    Raises:
        DeviceNotFoundError: when there is no such device.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        message = f"no device {str(name)!r} here: {reason}. Give cpu, or cuda where there is a GPU"
        raise DeviceNotFoundError(message) from error
    return device


def precision(network: PromptedNet, amp: bool | None = None, amp_dtype: str | None = None) -> tuple[bool, str]:
    """``amp`` and ``amp_dtype``: what is given, else as the file says, else bfloat16."""
    amp = network.amp if amp is None else amp
    return PRECISION["amp"] if amp is None else amp, amp_dtype or network.amp_dtype or PRECISION["amp_dtype"]


class Segmenter:
    """Segments what prompts name, with a model that was trained.

    ``Segmenter("model.pt")("image.png", ["brain", "white matter"])`` returns a `Segmentation`. The transforms are those
    of the bundles' ``inference.json``, and so are the masks, bit by bit.

    Args:
        model: a ``model.pt`` of any of the networks, or a network that has its weights.
        backbone: where the frozen base is on this machine, if not where the file says: a folder.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; None takes the GPU if there is one.
        window: which values of images other than 8-bit become black and white: ``"abdomen"``, ``(-160, 240)``,
            ``"mr"`` or three of these (`monai_vlsm.data.volumes.parse_window`); None takes that of the model, and where
            it has none that of the file or the range of each image.
        threshold: lowest probability of a pixel of a mask.
        existence_threshold: masks whose existence score is lower are emptied; None takes that of the model.
        amp: mixed precision, on a GPU and on a CPU that has bfloat16; None does as the model was trained.
        amp_dtype: type of the mixed precision on a GPU, ``"float16"`` or ``"bfloat16"``; None takes that of the
            model, else bfloat16.
        plane: in which volumes are sliced: axial, coronal or sagittal; None takes that of the model, else axial.
        context: how far the neighbours on either side are that the network sees with a slice; None takes that of the
            model, else none.
        channel: number of the volume that is taken of files of several; None takes that of the model. A path
            ``FILE::channel=N`` counts more.
        uncertainty: how sure the masks are, from several predictions: one of `monai_vlsm.uncertainty.METHODS`; with
            ``"prompts"`` all prompts of an image name one thing. None does not ask.
        draws: for ``"dropout"``: how many predictions.
        seed: of these draws.
        workers: threads that decode and resize the next images or slices while the network is at work; 0 does each in
            its turn. None takes two, where there are as many CPUs.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        ChannelNumberError: when the channel is no number.
        DeviceNotFoundError: when there is no such device.
        ModelMismatchError: when the file is none, is damaged, or was trained on another base.
        ModelNotFoundError: when there is no such file.
        UncertaintyError: when the model has no such uncertainty.
        ValueError: a threshold outside 0 to 1, or a window that is none.
    """

    def __init__(
        self,
        model: str | Path | PromptedNet,
        *,
        backbone: str | Path | None = None,
        device: str | torch.device | None = None,
        window: Any = None,
        threshold: float = 0.5,
        existence_threshold: float | None = None,
        amp: bool | None = None,
        amp_dtype: str | None = None,
        plane: str | None = None,
        context: int | None = None,
        channel: int | str | None = None,
        uncertainty: str | None = None,
        draws: int = 10,
        seed: int = 0,
        workers: int | None = None,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be from 0 to 1, got {threshold}")
        self.device = find_device(device)
        network = model if isinstance(model, PromptedNet) else load_network(model, backbone)
        self.network = network.to(self.device).eval()
        self.threshold = threshold
        self.amp, self.amp_dtype = precision(network, amp, amp_dtype)
        self.existence_threshold = network.existence_threshold if existence_threshold is None else existence_threshold
        self._before = preprocessing(network, window, plane)
        self._tokenize = self._before.transforms[-1].tokenize  # type: ignore[union-attr]
        self._after = PromptPostprocessing(self._before, self.existence_threshold, temperature=network.temperature)
        self.doubter = None
        if uncertainty is not None:
            self.doubter = Doubter(uncertainty, self.network, self._before, self.amp, draws, seed, self.amp_dtype)
        self._inferer = PromptInferer(
            cpu_autocast="auto" if self.amp else False, prompts=EncodedPrompts(self.network), keep_slices=True
        )
        self.plane = chosen_plane(network.plane if plane is None else plane)
        self.context = (network.context if context is None else context) or 0
        self.channel = channel_number(network.channel if channel is None else channel)
        self.workers = default_workers(2) if workers is None else workers

    def __call__(self, image: str | Path, prompts: str | Sequence[str], watch: Watch | None = None) -> Segmentation:
        """Segment one image.

        Args:
            image: an image, DICOM or volume file, ``FILE::channel=N`` for one volume of a 4D file, or the folder of a
                DICOM series.
            prompts: one text or K texts.
            watch: is shown the slices of a volume, one after the other, for those who keep probabilities.

        Raises:
            NonFiniteError: when the model computes values that are no numbers.
            DatasetProblems: when the file is not an image.
            ImagesNotFoundError: when there is no such file.
            NoPromptError: when a prompt is empty or not text, or there is none.
        """
        path = user_path(image)
        records = [in_channel(record, self.channel) for record in load_images(path, prompts, check=False)]
        if len(records) != 1 or (path.is_dir() and Path(records[0]["image"]).parent == path):
            raise IsADirectoryError(f"{path} is a folder; give one image, or use monai_vlsm.data.load_images")
        validate_records(records)
        return self.segment(records[0], watch)

    def segment(self, record: Mapping[str, Any], watch: Watch | None = None) -> Segmentation:
        """Segment the image of one record, ``{"image": path, "prompt": text or K texts, "name": text}``.

        Args:
            record: as it is, or as `prepare` made it.
            watch: see `__call__`.
        """
        made = record.get(_PREPARED)
        if isinstance(made, Exception):
            raise made
        own = in_channel({key: value for key, value in record.items() if key != _PREPARED}, self.channel)
        if made is not None:
            return self._image(own, made)
        with sliced(own, self.plane, self.context) as slices:
            return self._image(own, self._seen(own)) if len(slices) == 1 else self._volume(own, slices, watch)

    def cut(self, prompt: str) -> str:
        """What the model does not read of a prompt, in a few words; empty where it reads all."""
        words: str = self._tokenize.cut(prompt)
        return words

    def prepare(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What `segment` does before it needs the network; any thread may do that for an image that comes later.

        Volumes, which are read slice by slice, stay as they are. An image that cannot be read is told by `segment`.

        Args:
            record: of an image.

        Returns:
            The record for `segment`, which holds the image until then.
        """
        made: Any = None
        try:
            own = in_channel(record, self.channel)
            if file_kind(str(own["image"])) != "volume":
                made = self._seen(own)
        except Exception as error:  # readers and transforms raise nearly every kind
            made = error
        return {**record, _PREPARED: made}

    def _seen(self, record: Mapping[str, Any]) -> tuple[MetaTensor, Any]:
        """The image or slice as a person looks at it, and what the network takes."""
        displayed: Any = self._before(dict(record), end=DISPLAY_STEPS)
        return displayed["image"], self._before(displayed, start=DISPLAY_STEPS)

    def _image(self, record: Mapping[str, Any], seen: tuple[MetaTensor, Any]) -> Segmentation:
        """One that goes through the network at once."""
        image, data = seen
        (logits,) = self._logits([data])
        doubtful, given = self._doubtful(record), data
        data = self._after({**data, "pred": logits})
        probabilities = data["pred"].as_tensor().float().cpu()
        masks = (probabilities >= self.threshold).to(torch.uint8)
        if doubtful is not None:
            doubtful.add(doubtful.means([given], [logits])[0], masks)
        meta = {key: image.meta[key] for key in _META if key in image.meta}
        turned = MetaTensor(masks, affine=image.meta.get("original_affine"), meta=meta)
        return Segmentation(
            name=record["name"],
            prompts=texts_of(record),
            masks=masks.numpy(),
            probabilities=probabilities.numpy(),
            existence=data["existence"],
            spacing=file_spacing(image),
            view=best_view(middle_slice(image), turned),
            threshold=self.threshold,
            meta=meta,
            uncertainty=None if doubtful is None else doubtful.result(),
        )

    def _volume(
        self, record: Mapping[str, Any], slices: Sequence[Mapping[str, Any]], watch: Watch | None
    ) -> Segmentation:
        """A volume in batches of slices; only its masks are kept."""
        whole = Address.of(record["image"])
        found = VolumeMasks(whole.file, self.plane, len(texts_of(record)), self.threshold, whole.channel)
        starts, doubtful = range(0, len(slices), SLICE_BATCH), self._doubtful(record, found)
        with closing(made_ahead(self._seen, slices, self.workers)) as made:  # no thread reads on when this ends early
            for start in progress_bar(starts, f"slices of {record['name']}", unit="batch"):
                seen, batch = zip(*itertools.islice(made, SLICE_BATCH), strict=True)
                answers = self._logits(batch)
                for index, (data, logits) in enumerate(zip(batch, answers, strict=True), start):
                    data = self._after({**data, "pred": logits})
                    found.add(index, data["pred"].as_tensor(), data["existence"])
                    if watch is not None:
                        watch(middle_slice(seen[index - start]), data["pred"].as_tensor())
                if doubtful is not None:
                    for index, mean in enumerate(doubtful.means(batch, answers), start):
                        doubtful.add(mean, torch.from_numpy(found.of_slice(index)), index)
        fullest = found.fullest()
        address = replace(Address.of(slices[fullest]["image"]), context=0)
        shown: Any = self._before({**record, "image": str(address)}, end=DISPLAY_STEPS)
        uncertainty = None if doubtful is None else doubtful.result()
        return volume_segmentation(record, found, middle_slice(shown["image"]), self.threshold, uncertainty)

    def _doubtful(self, record: Mapping[str, Any], masks: VolumeMasks | None = None) -> UncertaintyOfOne | None:
        if self.doubter is None:
            return None
        return self.doubter.begin(texts_of(record), record["name"], masks)

    def _logits(self, batch: Sequence[Mapping[str, Any]]) -> list[torch.Tensor]:
        """``(K, S, S[, D])`` of each, with the meta of its image."""
        images = [data["image"] for data in batch]
        image = torch.stack([one.as_tensor() for one in images]).to(self.device)
        keys = ("input_ids", "attention_mask")
        tokens = {key: torch.stack([data[key] for data in batch]).to(self.device) for key in keys}
        with torch.no_grad(), gpu_autocast(self.device, self.amp, self.amp_dtype):
            logits = self._inferer(image, self.network, **tokens)
        require_answer(logits)
        return [MetaTensor(one).copy_meta_from(of) for one, of in zip(logits, images, strict=True)]
