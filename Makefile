# Everything a new machine needs: Python >= 3.10, make and git.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test lint docs benchmark clean
demo: $(INSTALLED)
	$(BIN)/wsrl demo --out demo

test: lint docs
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation site, in site/; a warning is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Every table of docs/performance.md, on this machine (a quarter of an hour; set WSRL_IMAGES for MNIST).
benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/zoo_speed.py
	$(BIN)/python benchmarks/cells.py
	$(BIN)/python benchmarks/encoder_speed.py
	$(BIN)/python benchmarks/build_speed.py
	$(BIN)/python benchmarks/build_memory.py

# torch comes first and pinned: an unpinned one would be replaced.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("wsrl needs Python >= 3.10, not " + sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,cluster,files]'
	touch $(INSTALLED)

clean:
	rm -rf .venv build *.egg-info
