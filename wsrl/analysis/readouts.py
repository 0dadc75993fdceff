"""Readers of a property that need no trained encoder: mean, trees, a network on components.

And what RNNs answer to inputs that were drawn at random, the same for all of them.
"""

import warnings
from math import ceil
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from wsrl.rnn import RNNs, run_population

COMPONENTS = 16  # as many as the numbers of a published embedding

WIDTH, LAYERS, STEPS, BATCH = 128, 2, 2000, 64
"""Of the network and its training: by default as of the head that reads an encoder's embeddings."""


class TargetCode(Protocol):
    """How a target becomes numbers that any regressor can learn, and back: a kind of target.

    The mean of codes decodes to the most frequent class, the mean value or the circular mean.
    """

    @property
    def discrete(self) -> bool: ...  # noqa: D102  whether a part is the index of a class
    @property
    def parts(self) -> int: ...  # noqa: D102
    def encode(self, target: Tensor) -> Tensor:
        """Return targets ``(n, parts)`` as numbers: ``(n, parts, numbers)``."""

    def decode(self, values: Tensor) -> Tensor:
        """Return the targets that numbers ``(n, parts, numbers)`` stand for: ``(n, parts)``."""


class Readout:
    """Predicts a target of RNNs from features of them, by a model of scikit-learn's."""

    def __init__(self, code: TargetCode, model: Any) -> None:
        self.code, self.model = code, model

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Learn from features ``(n, F)`` and targets ``(n, parts)``."""
        codes = self.code.encode(torch.from_numpy(target)).flatten(1)
        self.model.fit(features, codes.double().numpy())

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return targets ``(n, parts)`` for features ``(n, F)``; as ``TargetCode.decode``."""
        return self._decode(self.model.predict(features))

    def _decode(self, values: NDArray[Any]) -> NDArray[Any]:
        by_part = torch.from_numpy(values).view(len(values), self.code.parts, -1)
        return np.asarray(self.code.decode(by_part).numpy())


class MeanReadout(Readout):
    """Predicts the same of all: most frequent class, mean or circular mean of every part."""

    def __init__(self, code: TargetCode) -> None:
        super().__init__(code, DummyRegressor())


class ComponentReadout(Readout):
    """A network with two hidden layers on the first principal components of the features.

    Classes are learned by binary cross-entropy, each a yes-or-no question; the rest by squared
    error. ``steps`` of training are rounded up to full passes; there are no more ``components``
    than rows or features.
    """

    def __init__(
        self, code: TargetCode, seed: int = 0, steps: int = STEPS, components: int = COMPONENTS
    ) -> None:
        options = {"hidden_layer_sizes": (WIDTH,) * LAYERS, "random_state": seed}
        network = (MLPClassifier if code.discrete else MLPRegressor)(**options)
        if not code.discrete:  # values of any unit, learned where they are around 0 and 1
            network = TransformedTargetRegressor(network, transformer=StandardScaler())
        # Of thousands of rows and columns a few components: an exact decomposition takes minutes.
        pca = PCA(svd_solver="randomized", random_state=seed)
        super().__init__(code, make_pipeline(pca, StandardScaler(), network))
        self.steps, self.components = steps, components

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Learn the components and the network."""
        pca, _, network = (step for _, step in self.model.steps)
        pca.set_params(n_components=min(self.components, *features.shape))
        batch = min(BATCH, len(features))
        epochs = ceil(self.steps * batch / len(features))
        how = {"batch_size": batch, "max_iter": epochs, "n_iter_no_change": epochs}  # to the end
        getattr(network, "regressor", network).set_params(**how)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as many steps as are wanted
            warnings.simplefilter("ignore", DataConversionWarning)  # of a single column
            super().fit(features, target)

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return what the network says of the components."""
        if self.code.discrete:
            return self._decode(self.model.predict_proba(features))
        return super().predict(features)


class TreeReadout(Readout):
    """Gradient-boosted trees for each part of classes, or each number of another target's code."""

    def __init__(self, code: TargetCode) -> None:
        model = MultiOutputRegressor(HistGradientBoostingRegressor(early_stopping=False))
        if code.discrete:
            model = MultiOutputClassifier(HistGradientBoostingClassifier(early_stopping=False))
        super().__init__(code, model)

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Grow the trees."""
        if self.code.discrete:
            self.model.fit(features, target)
        else:
            super().fit(features, target)

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return what the trees say."""
        values = np.asarray(self.model.predict(features))
        return values if self.code.discrete else self._decode(values)


TOGETHER = 256  # RNNs that run at once; of more, memory would be all that grows


def draw_probes(
    count: int, length: int, inputs: int, activation: str, generator: torch.Generator
) -> Tensor:
    """Draw probing sequences ``(P, T, I)`` in the range that an encoder's learned ones have.

    By ``input_activation`` of a probing encoder: ``softmax`` draws tokens (one-hot), ``sigmoid``
    values in [0, 1), ``tanh`` in [-1, 1), ``identity`` normal ones; others are a ``ValueError``.
    """
    shape = (count, length, inputs)
    if activation == "softmax":
        tokens = torch.randint(inputs, shape[:2], generator=generator)
        return torch.nn.functional.one_hot(tokens, inputs).float()
    if activation == "identity":
        return torch.randn(shape, generator=generator)
    if activation not in ("sigmoid", "tanh"):
        raise ValueError(
            f"unknown activation {activation!r}; choose one of softmax, sigmoid, tanh, identity"
        )
    values = torch.rand(shape, generator=generator)
    return values if activation == "sigmoid" else 2 * values - 1


@torch.no_grad()
def answers(weights: RNNs, probes: Tensor) -> Tensor:
    """Return the raw outputs of ``B`` RNNs for the same ``probes (P, T, I)``: ``(B, P, T, O)``."""
    parts = (weights[start : start + TOGETHER] for start in range(0, len(weights), TOGETHER))
    return torch.cat([run_population(p, probes.expand(len(p), *probes.shape))[0] for p in parts])
