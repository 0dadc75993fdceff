"""Labelled images to read tile by tile: where they come from, and how they are split."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Loader: TypeAlias = Callable[[Path, bool], tuple[Tensor, Tensor]]
"""From a folder and whether downloading is allowed to images ``(N, H, W)`` and labels ``(N,)``."""


@dataclass(frozen=True)
class Source:
    """A set of labelled square images; mean and spread of pixels are on a scale from 0 to 1."""

    size: int
    classes: int
    tile_size: int  # that suits it
    white: int
    mean: float
    std: float
    load: Loader


@dataclass(frozen=True)
class Images:
    """Images, and the rows to train and to validate on, as published."""

    pixels: Tensor  # (N, H * W), as stored
    labels: Tensor  # (N,) int64
    train: Tensor
    validation: Tensor

    def to(self, device: torch.device) -> Images:
        """Return the images on a device."""
        return Images(*(getattr(self, field.name).to(device) for field in fields(self)))


def load_images(source: str, folder: str | None, download: bool) -> Images:
    """Load the images of a source, and check what files hold before compiled code reads it.

    The folder is by default what the variable ``WSRL_IMAGES`` says, else ``~/.cache/wsrl``.

    Raises:
        ValueError: where they are not there, or are of other sizes or classes than the source's.
    """
    place = Path(folder or os.environ.get("WSRL_IMAGES") or Path.home() / ".cache" / "wsrl")
    known = SOURCES[source]
    pixels, labels = known.load(place, download)
    fits = pixels.dtype == torch.uint8 and labels.shape == pixels.shape[:1]
    fits = fits and pixels.shape[1:] == (known.size, known.size)
    if not fits or not len(labels) or labels.min() < 0 or labels.max() >= known.classes:
        raise ValueError(
            f"the images of {source} must be {known.size} x {known.size} bytes each, with labels "
            f"0..{known.classes - 1}: {tuple(pixels.shape)} of {pixels.dtype}, {len(labels)} labels"
        )
    trains = torch.from_numpy(trains_on(np.arange(len(labels))))
    rows = (trains.nonzero()[:, 0], (~trains).nonzero()[:, 0])
    return Images(pixels.flatten(1), labels.long(), *rows)


def trains_on(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which images train, by their index: the published rule, about 80% of any set."""
    return (indices ^ 0x04095164213DD204) % 10 < 8


def _from_torchvision(name: str, folder: Path, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    try:
        found = getattr(datasets, name)(str(folder), train=True, download=download)
    except Exception as error:  # missing, cut short, or no such files: torchvision asserts much
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"cannot read the {name} images at {folder / name / 'raw'} ({reason}): put the IDX "
            f"files of {name} there, unpacked; or name another folder (variable WSRL_IMAGES); to "
            "build a zoo they can be downloaded (--download true), to fit they are needed for "
            "clones alone (--model.clone_rnns 0 scores none)"
        ) from error
    return found.data, found.targets


def _digits(folder: Path, download: bool) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return torch.from_numpy(found.images).to(torch.uint8), torch.from_numpy(found.target)


_MNIST, _FASHION = (partial(_from_torchvision, name) for name in ("MNIST", "FashionMNIST"))
SOURCES: dict[str, Source] = {
    "mnist": Source(28, 10, 4, 255, 0.1307, 0.3081, _MNIST),
    "fashion_mnist": Source(28, 10, 4, 255, 0.2860, 0.3530, _FASHION),
    "digits": Source(8, 10, 2, 16, 0.3053, 0.3760, _digits),
}
"""Every source by name. ``digits`` ships with scikit-learn: 1,797 images of 8 x 8 pixels."""
