"""How checkpoints get to the disk and back: whole or not at all, and never unpickled."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO, TorchCheckpointIO
from lightning.pytorch.strategies import Strategy

from wsrl.torch_files import MapLocation, read_torch_file
from wsrl.zoos.files import written_atomically


class AtomicCheckpointIO(CheckpointIO):
    """Writes checkpoints on local disks that are there whole or not at all.

    Lightning's own writes to another folder first and syncs nothing: where that is another file
    system, or where the machine dies, half a file can take the place of the former checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; where that fails, the former one at this path stays."""
        if "://" in str(path) or storage_options is not None:
            raise ValueError(f"checkpoints are kept on local disks, not at {path}; give a path")
        content = io.BytesIO()  # so that a full disk is met by one plain write, not inside torch
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(Path(path)) as target:
            target.write(content.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: MapLocation = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint; whatever ``weights_only`` says, nothing is ever unpickled."""
        content: dict[str, Any] = read_torch_file(path, map_location=map_location)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint, if it is there."""
        Path(path).unlink(missing_ok=True)


def with_checkpoint_io(plugins: Any, strategy: Any) -> list[Any]:
    """Return a trainer's plugins, so that it writes checkpoints this way unless told otherwise.

    A strategy that is an object is changed.
    """
    given = plugins if isinstance(plugins, list) else [plugins] if plugins else []
    if any(isinstance(plugin, CheckpointIO) for plugin in given):
        return given
    if not isinstance(strategy, Strategy):
        return [*given, AtomicCheckpointIO()]
    if type(strategy.checkpoint_io) is TorchCheckpointIO:  # Lightning's default
        strategy.checkpoint_io = AtomicCheckpointIO()
    return given
