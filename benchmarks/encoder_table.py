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
}
SPLITS = ("validation", "ood")


def main(out: Path) -> None:
    print("| encoder | " + " | ".join(f"{c} ({s})" for c in COLUMNS for s in SPLITS) + " |")
    print("|---" * (1 + len(COLUMNS) * len(SPLITS)) + "|")
    for run in sorted(path for path in out.iterdir() if not path.name.endswith("-task")):
        cells = []
        for suffix, metric in COLUMNS.values():
            file = out / f"{run.name}{suffix}" / "test.json"
            metrics = json.loads(file.read_text())["metrics"] if file.exists() else {}
            cells += [f"{metrics.get(f'{split}/{metric}', float('nan')):.3f}" for split in SPLITS]
        print(f"| {run.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
