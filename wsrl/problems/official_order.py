"""The order in which the official code sorts languages, to the task.

It sorts by entropy, and most entropies tie: languages that differ in the order of ``m`` only. What
decides are rounding errors and a sort that is not stable, hence numpy's version and the processor.
"""

import itertools
import warnings

import numpy as np
from numpy.typing import NDArray

_PUBLISHED = tuple(itertools.product([0], *[range(-3, 3)] * 3))

# Indices of the 216 published languages, lexically sorted, from the lowest entropy to the highest.
# Obtained by official_order's arithmetic with numpy 2.0.2 and 2.4.6 on an x86-64 processor with
# AVX2, where the split of the official code was measured. Without AVX2, and with numpy 1.x, which
# the official code asks for, ties come out otherwise: 9 to 12 instead of 14 validation tasks then
# agree with wsrl's own split, and nobody wrote down where the published runs were made.
_ORDER = """
    5 30 180 0 24 4 144 67 47 187 108 3 18 41 31 11 181 66 186 89 104 1 6 36 194 151 46 72 12 61
    2 60 145 10 25 40 150 102 182 192 32 77 17 53 188 83 68 103 193 35 210 185 131 141 201 43
    174 204 184 149 34 29 113 23 198 138 33 183 211 191 71 143 45 55 203 213 115 19 212 197 107
    109 54 39 9 114 69 59 119 189 139 199 148 28 168 155 156 205 16 76 70 26 65 190 175 146 96
    27 162 147 132 22 112 140 200 105 37 42 195 7 125 95 79 49 158 137 177 98 142 207 88 44 202
    167 62 13 73 82 52 38 106 78 97 101 152 157 161 176 196 206 8 48 21 126 111 15 20 110 64 75
    120 90 169 154 163 153 133 63 74 14 58 118 84 209 214 160 91 81 116 121 56 51 170 179 100
    215 57 117 127 124 99 94 173 178 50 134 159 164 85 80 208 166 171 136 92 87 122 86 135 165
    130 93 123 172 128 129
"""


def official_order(tasks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of different languages, lexically sorted, as the official code sorts them.

    The order of the 216 published languages is recorded. Any other set is sorted by the official
    arithmetic here and now, so ties come out as in the official code on this machine. Where they
    come out otherwise than in the record, a warning says so: machines that share a study would
    then split it differently.

    Args:
        tasks: ``(n, K)``, the languages' ``m``.

    Returns:
        ``(n,)``, from the lowest entropy to the highest.

    >>> official_order(np.array([[0, -3], [0, 0], [0, 1]]))
    array([0, 2, 1])
    """
    recorded = np.array(_ORDER.split(), dtype=np.int64)
    if np.array_equal(tasks, _PUBLISHED):
        return recorded
    if not np.array_equal(_sort(np.array(_PUBLISHED)), recorded):
        warnings.warn(
            f"numpy {np.__version__} on this processor orders languages of equal entropy otherwise "
            "than where wsrl recorded the official order: do not share a study with ood_criterion "
            "official among machines that differ in this, or take ood_criterion published",
            stacklevel=2,
        )
    return _sort(tasks)


def _sort(tasks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort languages by the official arithmetic; the sort is not stable."""
    shifted = 1 + tasks - tasks.min(axis=-1, keepdims=True)
    # Of numpy a float32 divided by an int64 is a float64: entropies are not rounded to float32.
    shares = shifted.astype(np.float32) / shifted.sum(axis=-1, keepdims=True)
    entropies = -(shares * np.log(shares + 1e-6)).sum(axis=-1)
    return np.argsort(entropies).astype(np.int64)
