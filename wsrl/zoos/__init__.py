"""Zoos: problems, the builder, and the zoo on disk."""

from wsrl.zoos.build import build_zoo
from wsrl.zoos.manifest import Manifest, ZooError
from wsrl.zoos.official import open_official
from wsrl.zoos.official_export import export_official
from wsrl.zoos.official_import import import_official
from wsrl.zoos.official_spec import OfficialHints
from wsrl.zoos.open import open_zoo
from wsrl.zoos.pack import pack_zoo
from wsrl.zoos.repair import repair_zoo
from wsrl.zoos.settings import BuildSettings
from wsrl.zoos.store import Zoo
from wsrl.zoos.verify import verify_zoo

__all__ = [
    "BuildSettings",
    "Manifest",
    "OfficialHints",
    "Zoo",
    "ZooError",
    "build_zoo",
    "export_official",
    "import_official",
    "open_official",
    "open_zoo",
    "pack_zoo",
    "repair_zoo",
    "verify_zoo",
]
