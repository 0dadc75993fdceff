"""Let ``import torchvision`` succeed beside a CPU-only torch.

The wheels of torchvision on PyPI carry operators compiled for CUDA. Beside a CPU build of torch
they do not load, and importing torchvision fails, which torchmetrics and so Lightning do. Here they
are declared, without any implementation, just before torchvision is imported for the first time.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_before_import() -> None:
    """Have the operators declared when torchvision is first imported; import nothing now."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing: it is asked first when torchvision is imported, and acts then."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_missing()


def _declare_missing() -> None:
    import torch

    found = importlib.machinery.PathFinder.find_spec("torchvision")
    for folder in (found and found.submodule_search_locations) or []:
        for library in Path(folder).glob("_C*"):
            try:
                torch.ops.load_library(str(library))
            except OSError:
                continue  # built for a CUDA that is not here
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SCHEMA)
