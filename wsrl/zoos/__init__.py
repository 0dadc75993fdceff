"""Zoos: problems, the builder, and the zoo on disk."""

from wsrl.zoos.build import build_zoo
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.open import open_zoo
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import Zoo
from wsrl.zoos.verify import verify_zoo

__all__ = [
    "BuildSettings",
    "Manifest",
    "Zoo",
    "ZooError",
    "build_zoo",
    "open_zoo",
    "verify_zoo",
]
