"""What ``wsrl zoo`` says of a finished zoo."""

from pathlib import Path
from typing import Any

from wsrl.rnn import RNNSpec
from wsrl.studies.tables import listed, shown
from wsrl.zoos import open_zoo


def describe(path: str | Path) -> dict[str, Any]:
    """Return what a finished zoo holds, as plain values, or raise ``ZooError``."""
    zoo = open_zoo(path)
    zoo.check()
    manifest = zoo.manifest
    performance = zoo.read("performance")
    last = performance[zoo.read("step") == max(zoo.steps)]
    names = ("problem", "problem_settings", "spec", "build", "origin", "source", "failed")
    return {
        "path": str(path),
        **{name: getattr(manifest, name) for name in (*names, "schema", "versions")},
        "runs": manifest.build["runs"],
        "snapshots": len(zoo),
        "left_out": len(open_zoo(path, include_failed=True)) - len(zoo),
        "steps": list(zoo.steps),
        "tasks": len(zoo.read("task").unique(dim=0)),
        "sequences_stored": zoo.sequences_stored,
        "performance_at_last_step": None if last.isnan().all() else float(last.mean()),
        "targets": {
            name: {"kind": t.kind, "parts": t.parts, "classes": list(t.labels or t.values)}
            for name, t in zoo.problem.targets(zoo.steps).items()
        },
        "columns": {
            name: {"dtype": column.dtype, "shape": list(column.shape)}
            for name, column in zoo.columns.items()
        },
        "bytes": sum(shard.bytes for shard in manifest.shards)
        or sum(file.stat().st_size for file in Path(path).glob("*.npy")),
        "shards": len(manifest.shards),
    }


def summarize(path: str | Path) -> str:
    """Return what ``describe`` does, to read."""
    facts = describe(path)
    # Descriptions of a packed zoo's properties would fill the screen; they come as targets.
    known = facts["problem_settings"].items()
    settings = ", ".join(f"{name}={value}" for name, value in known if name != "properties")
    performance = facts["performance_at_last_step"]
    lines = {
        "zoo": facts["path"],
        "problem": f"{facts['problem']} ({settings})",
        "RNNs": str(RNNSpec(**facts["spec"])),
        "origin": facts["origin"],
        "runs": f"{facts['runs']}, {len(facts['failed'])} failed",
        "snapshots": f"{facts['snapshots']} ({facts['left_out']} others are left out) "
        f"at steps {', '.join(map(str, facts['steps']))}",
        "tasks": str(facts["tasks"]),
        "performance": f"{shown(performance)} on average at the last step",
        "size": f"{facts['bytes'] / 1e6:.1f} MB",
        "targets": "" if facts["targets"] else "none",
    }
    for name, target in facts["targets"].items():
        parts = f"{target['parts']} x " if target["parts"] > 1 else ""
        classes = list(map(str, target["classes"]))
        kind = f"{len(classes)} classes: " if classes else target["kind"]
        if len(classes) > 10:
            classes = [*classes[:5], "...", classes[-1]]
        lines[f"  {name}"] = f"{parts}{kind}{', '.join(classes)}"
    return listed(lines)
