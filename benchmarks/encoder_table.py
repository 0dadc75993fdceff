"""Print the runs of ``compare_encoders.sh`` as a Markdown table.

python benchmarks/encoder_table.py OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

COLUMNS = {
    "TV": ("", "total_variation"),
    "reverse KL": ("", "reverse_kl"),
    "TV, shuffled": ("", "shuffled_total_variation"),
    "clone difference": ("", "clone_difference"),
    "task, exact": ("-task", "exact_match"),
    "task, a part": ("-task", "part_accuracy"),
    "angular error": ("-angle", "angular_error"),
}
SPLITS = ("validation", "ood")


def main(out: Path) -> None:
    results = {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/test.json")}
    kinds = {suffix for suffix, _ in COLUMNS.values() if suffix}
    encoders = sorted(name for name in results if not name.endswith(tuple(kinds)))
    shown = {
        (column, split): (suffix, f"{split}/{metric}")
        for column, (suffix, metric) in COLUMNS.items()
        for split in SPLITS
        if any(f"{encoder}{suffix}" in results for encoder in encoders)
    }
    print("| encoder | " + " | ".join(f"{column} ({split})" for column, split in shown) + " |")
    print("|---" * (1 + len(shown)) + "|")
    for encoder in encoders:
        cells = []
        for suffix, metric in shown.values():
            metrics = results.get(f"{encoder}{suffix}", {"metrics": {}})["metrics"]
            cells.append(f"{metrics.get(metric, float('nan')):.3f}")
        print(f"| {encoder} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
