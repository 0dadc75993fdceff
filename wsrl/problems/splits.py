"""How many tasks are in each split."""


def split_sizes(tasks: int, test_fraction: float = 0.0) -> dict[str, int]:
    """Return how many of so many tasks are in each split, as published.

    Of all ``floor(0.7 n)`` are trained on, less a ``test`` split where one is asked for,
    ``floor(0.15 n)`` validated; the rest are out of distribution (``ood``).

    >>> split_sizes(50)
    {'train': 35, 'validation': 7, 'ood': 8}
    """
    # Whole numbers: 0.7 * n in floating point can fall just short of the integer it should be.
    train, validation = tasks * 70 // 100, tasks * 15 // 100
    test = int(test_fraction * tasks + 1e-9)
    sizes = {"train": train - test, "validation": validation, "ood": tasks - train - validation}
    return sizes | ({"test": test} if test_fraction else {})
