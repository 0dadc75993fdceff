"""Random valid things that the property-based tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from wsrl.rnn import RNNSpec, list_cells
from wsrl.zoos import BuildSettings
from wsrl.zoos.settings import MOST_SHARDS

SMALL = st.integers(1, 7)

SPECS = st.builds(
    RNNSpec,
    cell=st.sampled_from(list_cells()),
    input_size=SMALL,
    hidden_size=SMALL,
    num_layers=st.integers(1, 3),
    output_size=SMALL,
    bias=st.booleans(),
)

STEPS = st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True).map(sorted)
RATES = st.floats(0, 1e6, allow_nan=False)

BUILDS = st.builds(
    BuildSettings,
    runs=st.integers(1, MOST_SHARDS),
    seed=st.integers(0, 2**62),
    snapshots=STEPS,
    cell=st.sampled_from(list_cells()),
    hidden_size=SMALL,
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_size=st.integers(1, 10**6),
    learning_rates=STEPS.flatmap(
        lambda steps: st.tuples(*(st.tuples(st.just(step), RATES) for step in steps))
    ),
    weight_decay=RATES,
    clip_norm=st.none() | st.floats(1e-30, exclude_min=True),  # infinity is no limit
    unique_sequences=st.booleans(),
    group_size=st.integers(1, 2**40),
)
