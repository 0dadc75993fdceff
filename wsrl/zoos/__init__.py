"""Zoos: the builder, the zoo on disk, and published zoos."""

from wsrl.zoos.build import build_zoo
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.open import open_zoo
from wsrl.zoos.pack import pack_zoo
from wsrl.zoos.published.exporting import export_published
from wsrl.zoos.published.importing import import_published
from wsrl.zoos.published.reading import PublishedHints, open_published
from wsrl.zoos.repair import repair_zoo
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import Zoo
from wsrl.zoos.verify import verify_zoo

OfficialHints = PublishedHints  # the names until 0.1
open_official, import_official, export_official = open_published, import_published, export_published

__all__ = [
    "BuildSettings",
    "Manifest",
    "OfficialHints",
    "PublishedHints",
    "Zoo",
    "ZooError",
    "build_zoo",
    "export_official",
    "export_published",
    "import_official",
    "import_published",
    "open_official",
    "open_published",
    "open_zoo",
    "pack_zoo",
    "repair_zoo",
    "verify_zoo",
]
