"""The command ``wsrl``: one typed function a command, from which its options and help are made.

The same functions are for Python. They return the text that the command prints, or the exit status:

    from wsrl.cli import zoo
    print(zoo.info(["zoos/small"]))

Nothing in this room imports torch or Lightning before a command needs them, so that help is quick.
"""

from wsrl.cli.program import main

__all__ = ["main"]
