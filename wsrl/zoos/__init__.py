"""Zoos: the builder, the zoo on disk, and published zoos."""

from wsrl.zoos.build import build_zoo
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.open import open_zoo
from wsrl.zoos.pack import pack_zoo
from wsrl.zoos.published.exchange import export_published, import_published
from wsrl.zoos.published.reading import PublishedHints, open_published
from wsrl.zoos.repair import repair_zoo
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import Zoo
from wsrl.zoos.verify import verify_zoo

__all__ = [
    "BuildSettings",
    "Manifest",
    "PublishedHints",
    "Zoo",
    "ZooError",
    "build_zoo",
    "export_published",
    "import_published",
    "open_published",
    "open_zoo",
    "pack_zoo",
    "repair_zoo",
    "verify_zoo",
]
