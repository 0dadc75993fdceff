"""Zoos: the builder, the zoo on disk, and published zoos."""

from wsrl.zoos.build import build_zoo as build_zoo
from wsrl.zoos.build import build_zoos as build_zoos
from wsrl.zoos.collection import AnyZoo as AnyZoo
from wsrl.zoos.collection import ZooCollection as ZooCollection
from wsrl.zoos.labelling import label_zoo as label_zoo
from wsrl.zoos.manifest import Manifest as Manifest
from wsrl.zoos.manifest import ZooError as ZooError
from wsrl.zoos.open import open_one as open_one
from wsrl.zoos.open import open_zoo as open_zoo
from wsrl.zoos.open import zoo_folders as zoo_folders
from wsrl.zoos.pack import pack_zoo as pack_zoo
from wsrl.zoos.published.exchange import export_published as export_published
from wsrl.zoos.published.exchange import import_published as import_published
from wsrl.zoos.published.reading import PublishedHints as PublishedHints
from wsrl.zoos.published.reading import open_published as open_published
from wsrl.zoos.repair import repair_zoo as repair_zoo
from wsrl.zoos.settings import BuildSettings as BuildSettings
from wsrl.zoos.settings import settings_grid as settings_grid
from wsrl.zoos.store import Zoo as Zoo
from wsrl.zoos.verify import verify_zoo as verify_zoo
