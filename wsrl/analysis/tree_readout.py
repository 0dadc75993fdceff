"""Gradient-boosted trees as a reader of a property: strong where features are few and plain."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from wsrl.analysis.readouts import Readout

Trees: TypeAlias = "HistGradientBoostingClassifier | HistGradientBoostingRegressor"


class TreeReadout(Readout):
    """Trees for every part of classes, and for every number of the code of another target.

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
