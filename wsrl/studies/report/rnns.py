"""Maps of embeddings, in which a point says which RNN it is."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from sklearn.decomposition import PCA

from wsrl.studies.embeddings import SPEC_COLUMNS, read_embeddings
from wsrl.studies.report.charts import Chart, figure, points
from wsrl.studies.report.reading import Benchmark, groups
from wsrl.studies.report.words import chart_text
from wsrl.studies.tables import shown

EMBEDDINGS = "embeddings.safetensors"
"""What a run leaves behind of every RNN."""

_MOST = 300  # RNNs that are drawn: more would hide each other
_COLOURS = 6  # numbers that may colour a map
_SYMBOLS = ("circle", "diamond", "square", "cross")
_FEWEST = 5  # RNNs of which a map is drawn
_SAME = 1e-5  # embeddings have norm 1; rounding differs between batches


def maps(benchmark: Benchmark) -> Iterator[tuple[str, list[str], list[Chart | str]]]:
    """Yield for each zoo the maps of one run of each encoder.

    Yields:
        The zoo, the names of what may colour its maps, and the maps; or why there is none.
    """
    runs = benchmark.runs[(benchmark.runs.ablation_of == "") & (benchmark.runs.kind == "emulation")]
    runs = runs.assign(path=[benchmark.folder / folder / EMBEDDINGS for folder in runs.folder])
    there = [state == "done" and path.is_file() for state, path in runs[["state", "path"]].values]
    runs = runs[np.array(there, dtype=bool)].drop_duplicates(["zoo", "label"])
    for zoo, own in groups(runs, "zoo"):
        charts: list[Chart | str] = []
        labels: dict[str, None] = {}
        for label, path in zip(own.label, own.path, strict=True):
            frame = read_embeddings(path)
            if len(frame) > _MOST:
                frame = frame.sample(_MOST, random_state=0).sort_index()
            if (made := _map(frame)) is None:
                charts.append(f"{label}: no map: embeddings are few, not finite or all the same.")
                continue
            labels |= dict.fromkeys(made.layout.meta["colours"])
            charts.append(Chart(f"{zoo}: {label}", made, benchmark.entrants.index(label), zoo))
        yield zoo, sorted(labels), charts  # as in the page


def _map(frame: pd.DataFrame) -> go.Figure | None:
    """Draw embeddings by principal components, with colours to choose."""
    embedding = frame.filter(regex=r"^embedding_\d+$").to_numpy()
    if len(embedding) < _FEWEST or not np.isfinite(embedding).all() or embedding.shape[1] < 2:
        return None
    if np.ptp(embedding, 0).max() < _SAME:
        return None
    pca = PCA(2, svd_solver="full").fit(embedding)
    first, second = pca.explained_variance_ratio_
    x, y = pca.transform(embedding).round(4).T
    alike = [name for name in SPEC_COLUMNS if name in frame and frame[name].nunique() == 1]
    frame = frame.drop(columns=alike)
    names = ("name", "task", "performance", "split", *SPEC_COLUMNS)
    known = frame[[name for name in names if name in frame]]
    told = [
        "<br>".join(chart_text(f"{name} {shown(value)}") for name, value in row.items())
        for row in known.to_dict("records")
    ]
    numbers = frame.select_dtypes("number").filter(regex="^(?!row$|run$|embedding_|predicted_)")
    colours = {
        chart_text(str(name)): [None if pd.isna(value) else value for value in column.round(4)]
        for name, column in list(numbers.items())[:_COLOURS]
    }
    trace = points(x, y, told)
    symbols = pd.factorize(frame.get("split", frame.index * 0))[0]
    trace.update(marker={"symbol": [_SYMBOLS[place % 4] for place in symbols]})
    made = figure(f"{first:.0%} of the variance", f"{second:.0%}", [trace])
    made.update_xaxes(showticklabels=False).update_yaxes(showticklabels=False)
    return made.update_layout(meta={"colours": colours})
