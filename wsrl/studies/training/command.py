"""``wsrl fit``, ``validate``, ``test`` and ``predict``: LightningCLI with a fixed folder a run."""

import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch.optim import Optimizer

from wsrl.data import ZooDataModule
from wsrl.encoders import list_encoders
from wsrl.resources import check_devices
from wsrl.stopping import StopRequests
from wsrl.studies.configs import one_line_errors
from wsrl.studies.embeddings import check_suffix
from wsrl.studies.options import RawHelp, add_run_options
from wsrl.studies.tables import print_by_spec, print_metrics
from wsrl.studies.training.callbacks import (
    BestCheckpoint,
    DataRemarks,
    ProgressLine,
    RunLogger,
    SaveRunConfig,
    quiet,
)
from wsrl.studies.training.checkpoint_io import with_checkpoint_io
from wsrl.studies.training.checkpoints import LINKED, OPTIMIZERS, CheckpointRecord, seen_splits
from wsrl.studies.training.cost import TrainingCost
from wsrl.studies.training.divergence import DivergenceCheck
from wsrl.studies.training.predictions import (
    ColumnKeeper,
    keep_labelled,
    measure_specs,
    write_metrics,
    write_predictions,
)
from wsrl.studies.training.processes import is_requeued
from wsrl.studies.training.runs import AUTO, Request, Run
from wsrl.studies.training.stopping import LastCheckpoint, OwnSignals, reported
from wsrl.studies.training.training_state import TrainingStateCheck
from wsrl.tasks import PredictionModule, TaskModule
from wsrl.tasks.state_dicts import WeightsError
from wsrl.terminal import note, say

_PARSER: dict[str, Any] = {"formatter_class": RawHelp, "exit_on_error": False}


def run_training(
    command: str, args: Sequence[str], stop: StopRequests, description: str = ""
) -> None:
    """Run one of the four commands on the words after it; ``description`` begins its help."""
    names = {"model.encoder": list_encoders()}  # loads other packages' encoders
    names["model"] = sorted(task.__name__ for task in TaskModule.__subclasses__())
    request = Request.read(args)
    try:
        with one_line_errors(request.configs, names), quiet(), ExitStack() as held:
            TrainingCLI(command, request, stop, held, description).execute()
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


class TrainingCLI(LightningCLI):
    """LightningCLI for one command, one run folder and, if there is one, one checkpoint.

    What the checkpoint says comes first, then the config files, then the command line; a model that
    then differs from the checkpoint's is an error.
    """

    def __init__(
        self,
        command: str,
        request: Request,
        stop: StopRequests,
        held: ExitStack,
        description: str = "",
    ) -> None:
        self.command, self.stop, self.held = command, stop, held
        self.record: CheckpointRecord | None = None
        self.cost, self.columns = TrainingCost(), ColumnKeeper()
        arguments = [config.word for config in request.configs] + request.options
        if not request.wants_help:
            self.run, checkpoint = request.resolve(command)
            self.auto, self.goes_on = request.ckpt_path == AUTO, self.run.owns(checkpoint)
            arguments += ["--run", str(self.run.folder)]
            if checkpoint is not None:
                self.record = CheckpointRecord.read(checkpoint, request.names())
                before = ["--config", yaml.safe_dump(self.record.as_config())]
                own = Run.of_checkpoint(checkpoint)
                # Read once before: the parser would wait for ever at a pipe.
                if command == "fit" and not request.configs and own.settings():
                    before = [f"--config={own.config}", *before]
                arguments = [*before, *arguments, "--ckpt_path", str(checkpoint)]
        shown = {"enable_progress_bar": sys.stderr.isatty()}
        # Evaluations run on one process, which sees every snapshot exactly once.
        alone = {"enable_checkpointing": False, "devices": 1, "enable_model_summary": False}
        super().__init__(
            model_class=TaskModule,
            datamodule_class=ZooDataModule,
            subclass_mode_model=True,
            save_config_callback=SaveRunConfig if command == "fit" else None,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults=shown if command == "fit" else shown | alone,
            seed_everything_default=0,
            # Modules record their own arguments: a checkpoint is the same from Python and here.
            load_from_checkpoint_support=False,
            auto_configure_optimizers=False,
            parser_kwargs={"prog": f"wsrl {command}", "description": description, **_PARSER},
            args=arguments,
            run=False,
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add trainer, model and data; the model is any task, short names included."""
        parser.add_lightning_class_args(Trainer, "trainer")
        parser.set_defaults({f"trainer.{k}": v for k, v in self.trainer_defaults.items()})
        # Encoders of other people may have a constructor without annotations.
        parser.add_subclass_arguments(
            TaskModule,
            "model",
            fail_untyped=False,
            required=True,
            default=SUPPRESS,  # None would make it optional, and errors hard to read
            help="what is trained, and its options",
        )
        parser.add_lightning_class_args(ZooDataModule, "data")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's options, and hand the zoo's spec and targets to the model."""
        for name in LINKED:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        parser.add_optimizer_args((Optimizer,))
        parser.add_lr_scheduler_args()
        for name in OPTIMIZERS:
            parser.link_arguments(
                name, f"model.init_args.{name}", compute_fn=lambda given: given and given.as_dict()
            )
        add_run_options(parser, self.command)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, without Lightning's warning that the process has arguments too."""
        self.config = parser.parse_args(args)
        self.seed = self.config["seed_everything"]  # as given: a number, or whether any will do
        if not isinstance(self.seed, bool | None) and not 0 <= self.seed < 2**32:
            raise ValueError(f"seed_everything must be at least 0 and below 2**32, not {self.seed}")
        check_devices("trainer.devices", self.config["trainer"]["devices"])
        given = self.config["model"]["init_args"].get("pretrained")
        if self.record is not None and given is not None:
            self.record.check_pretrained(given)
            self.config = parser.parse_args([*args, "--model.pretrained", "null"])

    def after_instantiate_classes(self) -> None:
        """Refuse to write over another run, or to contradict the checkpoint, before any work."""
        writes = self.command == "fit" and not self.config["trainer"]["fast_dev_run"]
        if writes and self.trainer.is_global_zero:
            overwrite = self.config["overwrite"]
            self.held.enter_context(self.run.owned(self.goes_on, self.auto, overwrite))
        if precision := self.config["float32_matmul_precision"]:
            torch.set_float32_matmul_precision(precision)
        for part in self.model.children() if self.config["compile"] else ():
            if any(True for _ in part.parameters()):  # not metrics
                part.compile(mode=self.config["compile"])
        if self.command != "predict" and isinstance(self.model, PredictionModule):
            keep_labelled(self.datamodule, self.model.target)
        data = dict(self.datamodule.hparams)
        if self.record is not None:
            self.record.check_model(self.model)
            if self.auto:
                seed = None if isinstance(self.seed, bool) else self.seed
                self.record.check_repeated(data, seed, self.run.settings().get("seed_everything"))
            note(self.record.data_differences(data))
        elif getattr(self.model, "pretrained", None):
            note(seen_splits(Path(self.model.pretrained), data))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, writing into the run's folder unless told otherwise."""
        given = self.config_init["trainer"]
        own: dict[str, Any] = {"logger": self._logger(given["logger"])}
        own["default_root_dir"] = given["default_root_dir"] or str(self.run.folder)
        own["plugins"] = with_checkpoint_io(given["plugins"], given["strategy"])
        own["callbacks"] = self._callbacks(given)
        self.requeued = is_requeued(own["plugins"])
        if self.command == "fit":
            own["enable_checkpointing"] = True  # ``last`` is there even if it saves nothing
        try:
            return super().instantiate_trainer(**own, **kwargs)
        except TypeError as error:  # as of devices that are none
            raise ValueError(f"trainer: {error}") from error

    def _callbacks(self, trainer: Namespace) -> list[Callback]:
        given = trainer["callbacks"] or []
        given = given if isinstance(given, list) else [given]
        callbacks = [OwnSignals(self.stop), DataRemarks(), ProgressLine(), *given, self.columns]
        if self.command != "fit":
            return callbacks
        checks = [TrainingStateCheck(), DivergenceCheck(), self.cost]
        saves = trainer["enable_checkpointing"] is not False and not trainer["fast_dev_run"]
        best = [BestCheckpoint(self.run.checkpoints, self.model.monitor)] if saves else []
        path = self.run.checkpoint("last") if saves else None
        step = 0 if self.record is None else self.record.step
        last = LastCheckpoint(path, self.config_init["checkpoint_minutes"], self.stop, step)
        return [*checks, *callbacks, *best, last]

    def _logger(self, given: Any) -> Any:
        if self.command != "fit" or given not in (None, True):
            return given or False
        return RunLogger(self.run, self.record.step if self.record and self.goes_on else 0)

    def execute(self) -> None:
        """Run the command and report."""
        if self.trainer.is_global_zero:
            self.run.remove_leftovers()
        with reported(self.trainer, self.stop, self.run.folder, self.requeued):
            try:
                {"fit": self.fit, "predict": self.predict}.get(self.command, self.evaluate)()
            except WeightsError as error:
                raise ValueError(f"{self._source()[0]}: {error}") from error

    def fit(self) -> None:
        """Train, and say where the run is."""
        path = None if self.record is None else self.record.path
        self.trainer.fit(self.model, self.datamodule, ckpt_path=path, weights_only=True)
        if not self.trainer.is_global_zero or self.config["trainer"]["fast_dev_run"]:
            return
        self.cost.write(self.run.cost, self.model)
        say(f"{self.run.folder}: {self.trainer.global_step} steps")
        for best in self.trainer.checkpoint_callbacks:
            if isinstance(best, BestCheckpoint) and best.best_model_score is not None:
                say(f"best {best.monitor}: {float(best.best_model_score):.4f}")
        if not self.run.checkpoint("best").exists():
            note(["no best.ckpt, since training ended before a validation"])

    def evaluate(self) -> None:
        """Evaluate the checkpoint, print its metrics and keep them in the run's folder."""
        path, source = self._source()
        evaluate = self.trainer.test if self.command == "test" else self.trainer.validate
        results = evaluate(
            self.model, datamodule=self.datamodule, ckpt_path=path, verbose=False, weights_only=True
        )
        metrics = {name: value for result in results for name, value in result.items()}
        if not self.trainer.is_global_zero:
            return
        print_metrics(metrics)
        out = self.run.folder / f"{self.command}.json"
        by_spec = {}
        if self.command == "test":
            splits, zoo = self.datamodule.eval_splits("test"), self.datamodule.zoo
            columns = out.with_suffix(".safetensors")
            self.columns.write(columns, splits, source, zoo, self.trainer.world_size)
            if self.trainer.world_size == 1:
                kept = self.columns.of_splits(splits)
                by_spec = measure_specs(kept, splits, zoo, self.model.measure_columns)
                print_by_spec(by_spec)
        write_metrics(out, source, metrics, by_spec)
        say(f"written: {out}")

    def predict(self) -> None:
        """Write embeddings and predictions of the whole zoo to one file."""
        path, source = self._source()
        if self.trainer.world_size > 1:
            raise ValueError(
                f"predict writes one file from one process, not {self.trainer.world_size}: "
                "pass --trainer.devices 1"
            )
        out = Path(self.config["out"] or self.run.folder / "embeddings.safetensors")
        check_suffix(out)
        found = self.trainer.predict(self.model, self.datamodule, ckpt_path=path, weights_only=True)
        splits = self.datamodule.eval_splits("predict")
        results = [found] if len(splits) == 1 else found  # Lightning leaves out a single list
        zoo, target = self.datamodule.zoo, getattr(self.model, "target", None)
        count = write_predictions(out, results or [], splits, source, zoo, target)
        say(f"written: {out} ({count} snapshots)")

    def _source(self) -> tuple[Path, dict[str, Any]]:
        """Return the checkpoint, and what results are of, in paths that hold in any folder."""
        assert self.record is not None
        path, zoo = self.record.path, self.datamodule.hparams["zoo"]
        return path, {"checkpoint": str(path.resolve()), "zoo": zoo}
