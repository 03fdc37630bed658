# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""MONAI transforms of this package, each as array class and as dictionary class (``d``, ``D``, ``Dict``)."""

from monai_vlsm.transforms.draw import RandDrawPromptsD, RandDrawPromptsd, RandDrawPromptsDict
from monai_vlsm.transforms.existence import (
    ExistenceScoreD,
    ExistenceScored,
    ExistenceScoreDict,
    existence_scores,
)
from monai_vlsm.transforms.flip import (
    KeepPlacesD,
    KeepPlacesd,
    KeepPlacesDict,
    RandFlipPromptsD,
    RandFlipPromptsd,
    RandFlipPromptsDict,
)
from monai_vlsm.transforms.label import (
    LabelResultD,
    LabelResultd,
    LabelResultDict,
    RequestPromptD,
    RequestPromptd,
    RequestPromptDict,
    RequestTokensD,
    RequestTokensd,
    RequestTokensDict,
)
from monai_vlsm.transforms.mask import BinarizeMask, BinarizeMaskD, BinarizeMaskd, BinarizeMaskDict
from monai_vlsm.transforms.normalize import NormalizeImageD, NormalizeImaged, NormalizeImageDict
from monai_vlsm.transforms.orient import OrientVolume, OrientVolumeD, OrientVolumed, OrientVolumeDict
from monai_vlsm.transforms.padding import DropPaddedPromptsD, DropPaddedPromptsd, DropPaddedPromptsDict
from monai_vlsm.transforms.postprocessing import PromptPostprocessing
from monai_vlsm.transforms.resize import ResizeImage, ResizeImageD, ResizeImaged, ResizeImageDict
from monai_vlsm.transforms.rgb import ToRGB, ToRGBD, ToRGBd, ToRGBDict
from monai_vlsm.transforms.save import SavePromptMasksd
from monai_vlsm.transforms.select import (
    RandSelectPrompt,
    RandSelectPromptD,
    RandSelectPromptd,
    RandSelectPromptDict,
    SelectPrompt,
    SelectPromptD,
    SelectPromptd,
    SelectPromptDict,
)
from monai_vlsm.transforms.styles import in_styles, require_style
from monai_vlsm.transforms.temperature import TemperatureD, Temperatured, TemperatureDict
from monai_vlsm.transforms.tokens import TokenizePrompt, TokenizePromptD, TokenizePromptd, TokenizePromptDict

__all__ = [
    "BinarizeMask",
    "BinarizeMaskD",
    "BinarizeMaskDict",
    "BinarizeMaskd",
    "DropPaddedPromptsD",
    "DropPaddedPromptsDict",
    "DropPaddedPromptsd",
    "ExistenceScoreD",
    "ExistenceScoreDict",
    "ExistenceScored",
    "KeepPlacesD",
    "KeepPlacesDict",
    "KeepPlacesd",
    "LabelResultD",
    "LabelResultDict",
    "LabelResultd",
    "NormalizeImageD",
    "NormalizeImageDict",
    "NormalizeImaged",
    "OrientVolume",
    "OrientVolumeD",
    "OrientVolumeDict",
    "OrientVolumed",
    "PromptPostprocessing",
    "RandDrawPromptsD",
    "RandDrawPromptsDict",
    "RandDrawPromptsd",
    "RandFlipPromptsD",
    "RandFlipPromptsDict",
    "RandFlipPromptsd",
    "RandSelectPrompt",
    "RandSelectPromptD",
    "RandSelectPromptDict",
    "RandSelectPromptd",
    "RequestPromptD",
    "RequestPromptDict",
    "RequestPromptd",
    "RequestTokensD",
    "RequestTokensDict",
    "RequestTokensd",
    "ResizeImage",
    "ResizeImageD",
    "ResizeImageDict",
    "ResizeImaged",
    "SavePromptMasksd",
    "SelectPrompt",
    "SelectPromptD",
    "SelectPromptDict",
    "SelectPromptd",
    "TemperatureD",
    "TemperatureDict",
    "Temperatured",
    "ToRGB",
    "ToRGBD",
    "ToRGBDict",
    "ToRGBd",
    "TokenizePrompt",
    "TokenizePromptD",
    "TokenizePromptDict",
    "TokenizePromptd",
    "existence_scores",
    "in_styles",
    "require_style",
]
