"""Print what pyproject.toml depends on, a line each; with an argument, that extra instead."""

from __future__ import annotations

import sys
from pathlib import Path

import tomllib

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = sys.argv[1:]
wanted = [project["optional-dependencies"][name] for name in extras] or [project["dependencies"]]
print(*(line for lines in wanted for line in lines), sep="\n")
