"""``wsrl fit``, ``validate``, ``test``, ``predict`` and ``baseline``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsrl._process import find_own_modules
from wsrl.cli.commands import COMMANDS, command
from wsrl.cli.parsing import Count, Index, Options
from wsrl.environment import check_training
from wsrl.stopping import StopRequests, is_launched
from wsrl.studies.options import TRAINING_ONLY

if TYPE_CHECKING:
    from wsrl.data import ZooDataModule


@command("fit")
def fit(words: Sequence[str]) -> None:
    """Train a model: emulation (pre-training) or prediction of a property.

    The main options:

      --model EmulationModule | PredictionModule, or in a --config
      --model.encoder NAME      an encoder (of wsrl encoders); its options: --model.encoder.OPTION
      --model.target NAME       what is predicted, of those that wsrl zoo info lists
      --model.pretrained CKPT   whose encoder predicts
      --data.zoo DIR            what it is trained on
      --run DIR                 the folder for checkpoints, logs and settings
      --ckpt_path last          go on with the run
      --trainer.max_steps N     how long

      wsrl fit --config configs/emulation_small.yaml --model.encoder Spectral --data.zoo zoos/small
      wsrl fit --model EmulationModule --model.help EmulationModule    all options of a model
    """
    _train("fit", words)


@command("validate")
def validate(words: Sequence[str]) -> None:
    """Evaluate a checkpoint (--run DIR --ckpt_path best) on the validation and OOD splits."""
    _train("validate", words)


@command("test")
def test(words: Sequence[str]) -> None:
    """Evaluate a checkpoint on the validation, OOD (and test) splits, and keep the numbers.

    With --run DIR --ckpt_path best, they are kept in DIR/test.json.
    """
    _train("test", words)


@command("predict")
def predict(words: Sequence[str]) -> None:
    """Write the embeddings (and predictions) of a whole zoo to one file.

    Say --run DIR --ckpt_path best; --data.zoo ZOO for another zoo, --out FILE for another file.
    """
    _train("predict", words)


def _train(name: str, words: Sequence[str]) -> None:
    check_training()
    # From here on, since the imports take seconds, in which a process of several must not die.
    with StopRequests(at_once=not is_launched()) as stop:
        from wsrl.studies.training.command import run_training

        find_own_modules()  # not before: libraries look for optional ones of other names
        run_training(name, words, stop, inspect.getdoc(COMMANDS[name].function) or "")


# The out-of-distribution tasks are trained on as for the published downstream tables.
@command(
    "baseline",
    data=Options("wsrl.data:ZooDataModule", TRAINING_ONLY, True, {"ood_to_train": True}),
)
def baseline(
    name: str,
    *,
    target: str,
    run: str,
    data: ZooDataModule,
    seed: Index = 0,
    steps: Count | None = None,
    kind: str | None = None,
) -> str:
    """Predict a property without any trained encoder.

    On the splits and by the metrics of wsrl test; writes test.json and test.safetensors as that
    does. Baselines:

      mean           nothing of the weights: the most frequent class, the mean or the circular mean
      pca            a network on the principal components of the flattened weights
      random_probes  a network on those of the raw outputs to a fixed random probe set
      trees          gradient-boosted trees on the layer-wise statistics

    Args:
        name: which baseline
        target: what is predicted
        run: the folder for what it writes
        data: the zoo and its splits
        seed: of what is random in it
        steps: of training its network, if any (default: 2000)
        kind: the kind of target to learn it as (default: the one that the data say)
    """
    from wsrl.studies.baselines import write_baseline

    return f"written: {write_baseline(name, data, target, run, seed, steps, kind)}"
