# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Draw docs/images/overlays.png anew: what a model, trained by the README's first command, makes of one slice.

python tools/readme_image.py [MODEL]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_vlsm.drawing import save_png
from monai_vlsm.handlers.overlays import Overlay, draw_overlay
from monai_vlsm.samples import sample_dir
from monai_vlsm.serving import Segmenter

ROOT = Path(__file__).resolve().parents[1]
SLICE = "images/axial_+14.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=ROOT / "bundles" / "vlsm_dense" / "models" / "model.pt")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "overlays.png")
    args = parser.parse_args()
    folder = sample_dir()
    (entry,) = (one for one in json.loads((folder / "val.json").read_text()) if one["image"] == SLICE)
    prompts = [structure["prompt"] for structure in entry["structures"]]
    truth = [np.asarray(Image.open(folder / structure["mask"])) > 0 for structure in entry["structures"]]
    masks = Segmenter(args.model)(folder / SLICE, prompts).masks
    grey = torch.from_numpy(np.asarray(Image.open(folder / SLICE).convert("L"), np.float32) / 255)
    item = {"image": grey.expand(3, -1, -1), "prompt": prompts, "name": SLICE}
    overlay = Overlay.of(
        item, {"label": torch.from_numpy(np.stack(truth)).float(), "pred": torch.as_tensor(masks).float()}
    )
    save_png(draw_overlay(overlay), args.output)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
