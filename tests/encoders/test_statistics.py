"""The seven numbers of a tensor, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wsrl.encoders.statistics import statistics


@pytest.mark.parametrize("size", [1, 2, 3, 10, 57])
def test_statistics_equal_numpy(size: int) -> None:
    values = torch.randn(3, size, generator=torch.Generator().manual_seed(size)).double()
    array = values.numpy()
    expected = np.stack(
        [
            array.mean(1),
            array.var(1),
            *np.quantile(array, [0, 0.25, 0.5, 0.75, 1], axis=1),
        ],
        1,
    )
    np.testing.assert_allclose(statistics(values).numpy(), expected, rtol=0, atol=1e-12)
