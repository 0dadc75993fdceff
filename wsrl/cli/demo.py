"""``wsrl demo``: the whole way, in minutes."""

from __future__ import annotations

from wsrl.cli.commands import command


@command("demo")
def demo(*, out: str = "demo") -> None:
    """Make a zoo, an encoder and a prediction from it, in minutes.

    Builds a small zoo, pre-trains InteractiveProbing on it, and predicts the task from embeddings.

    Args:
        out: folder for all it makes
    """
    from wsrl.studies.demo import run_demo

    run_demo(out)
