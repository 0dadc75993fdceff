"""What wsrl.studies reaches into Lightning for, beyond its public interface, is there.

To set an attribute that another version has renamed would fail nowhere, and change nothing.
"""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from wsrl.studies.training.processes import leave_signals_alone


def test_what_is_replaced_or_read_is_there(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", logger=False, default_root_dir=tmp_path
    )
    loop = trainer.fit_loop.epoch_loop
    connector = trainer._signal_connector
    assert {"register_signal_handlers", "teardown", "received_sigterm"} <= set(dir(connector))
    assert callable(loop._broadcast_sigterm_tensor)
    assert isinstance(loop._batches_that_stepped, int)
    assert callable(trainer.fit_loop._should_accumulate)
    assert trainer._accelerator_connector.cluster_environment is not None
    assert trainer.strategy._checkpoint_io is None  # nothing was chosen
    launcher = trainer.strategy.launcher or _SubprocessScriptLauncher(
        trainer._accelerator_connector.cluster_environment, 2
    )
    assert isinstance(launcher, _SubprocessScriptLauncher)
    assert launcher.procs == []
    leave_signals_alone(trainer)
    assert trainer._signal_connector is not connector
    assert trainer._signal_connector.received_sigterm is False
