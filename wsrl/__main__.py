"""``python -m wsrl``, the same as ``wsrl``."""

from wsrl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
