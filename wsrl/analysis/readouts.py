"""Readers of a property that need no trained encoder: mean, trees, a network on components."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from math import ceil
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

COMPONENTS = 16
"""As many as the numbers of a published embedding."""

WIDTH, LAYERS, STEPS, BATCH = 128, 2, 2000, 64
"""Of the network and its training: by default as of the head that reads an encoder's embeddings."""

Trees: TypeAlias = "HistGradientBoostingClassifier | HistGradientBoostingRegressor"


class TargetCode(Protocol):
    """How a target of RNNs becomes numbers that any regressor can learn, and back.

    The mean of codes decodes to the most frequent class, the mean value or the circular mean. The
    kinds of targets in ``wsrl.tasks.targets`` are such codes.
    """

    @property
    def discrete(self) -> bool:
        """Whether a part of the target is the index of a class."""

    @property
    def parts(self) -> int:
        """How many numbers a target has."""

    def encode(self, target: Tensor) -> Tensor:
        """Return targets ``(n, parts)`` as numbers: ``(n, parts, numbers)``."""

    def decode(self, values: Tensor) -> Tensor:
        """Return the targets that numbers ``(n, parts, numbers)`` stand for: ``(n, parts)``."""


class Readout(ABC):
    """Predicts a target of RNNs from features of them.

    Args:
        code: how the target becomes numbers.
    """

    def __init__(self, code: TargetCode) -> None:
        self.code = code

    @abstractmethod
    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Learn from features ``(n, F)`` and targets ``(n, parts)``."""

    @abstractmethod
    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return targets ``(n, parts)`` for features ``(n, F)``; as ``TargetCode.decode``."""

    def _encode(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """Return targets ``(n, parts)`` as columns of numbers, ``(n, parts * numbers)``."""
        codes = self.code.encode(torch.from_numpy(target)).flatten(1)
        return np.asarray(codes.double().numpy())

    def _decode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Undo ``_encode``."""
        by_part = torch.from_numpy(values).unflatten(1, (self.code.parts, -1))
        return np.asarray(self.code.decode(by_part).numpy())


class MeanReadout(Readout):
    """Predicts the same of all: most frequent class, mean or circular mean of every part."""

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Learn from the targets alone."""
        self._mean = self._encode(target).mean(0, keepdims=True)

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return the same for every row."""
        return self._decode(self._mean).repeat(len(features), 0)


class ComponentReadout(Readout):
    """A network with two hidden layers on the first principal components of the features.

    Classes are learned by binary cross-entropy, each a yes-or-no question; the rest by squared
    error.

    Args:
        code: how the target becomes numbers.
        seed: of all that is random.
        steps: of training the network, rounded up to full passes.
        components: how many; no more than there are rows or features.
    """

    def __init__(
        self, code: TargetCode, seed: int = 0, steps: int = STEPS, components: int = COMPONENTS
    ) -> None:
        super().__init__(code)
        self.seed, self.steps, self.components = seed, steps, components

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Learn the components and the network."""
        count = min(self.components, *features.shape)
        # Of thousands of rows and columns a few components: an exact decomposition takes minutes.
        pca = PCA(count, svd_solver="randomized", random_state=self.seed)
        self._components = make_pipeline(pca, StandardScaler())
        inputs = self._components.fit_transform(features)
        batch = min(BATCH, len(inputs))
        epochs = ceil(self.steps * batch / len(inputs))
        options: dict[str, Any] = {
            "hidden_layer_sizes": (WIDTH,) * LAYERS,
            "batch_size": batch,
            "max_iter": epochs,
            "n_iter_no_change": epochs,  # else it would stop early
            "random_state": self.seed,
        }
        if self.code.discrete:
            self._network = MLPClassifier(**options)
        else:  # values of any unit, learned where they are around 0 and 1
            self._network = TransformedTargetRegressor(
                MLPRegressor(**options), transformer=StandardScaler()
            )
        values = self._encode(target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as many steps as are wanted
            self._network.fit(inputs, values[:, 0] if values.shape[1] == 1 else values)

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return what the network says of the components."""
        inputs = self._components.transform(features)
        if self.code.discrete:
            return self._decode(self._network.predict_proba(inputs))
        return self._decode(self._network.predict(inputs).reshape(len(inputs), -1))


class TreeReadout(Readout):
    """Gradient-boosted trees for each part of classes, or each number of another target's code.

    Nothing in it is random.
    """

    def fit(self, features: NDArray[Any], target: NDArray[Any]) -> None:
        """Grow the trees."""
        columns = target if self.code.discrete else self._encode(target)
        self._trees = [self._grow(features, column) for column in columns.T]

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return what the trees say."""
        columns = [
            np.full(len(features), trees) if isinstance(trees, int) else trees.predict(features)
            for trees in self._trees
        ]
        values = np.stack(columns, 1)
        return values if self.code.discrete else self._decode(values)

    def _grow(self, features: NDArray[Any], values: NDArray[Any]) -> Trees | int:
        """Return trees for one column ``(n,)``, or the one class that there is."""
        if not self.code.discrete:
            return HistGradientBoostingRegressor(early_stopping=False).fit(features, values)
        if (values == values[0]).all():
            return int(values[0])
        return HistGradientBoostingClassifier(early_stopping=False).fit(features, values)
