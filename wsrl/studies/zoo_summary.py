"""What ``wsrl zoo`` says of a finished zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsrl.problems import Target
from wsrl.studies.tables import listed
from wsrl.zoos import open_zoo


def describe(path: str | Path) -> dict[str, Any]:
    """Return what a finished zoo holds, as plain values, or raise ``ZooError``."""
    zoo = open_zoo(path)
    zoo.check()
    manifest = zoo.manifest
    performance = zoo.read("performance")
    last = performance[zoo.read("step") == max(zoo.steps)]
    return {
        "path": str(path),
        "problem": manifest.problem,
        "problem_settings": manifest.problem_settings,
        "spec": manifest.spec,
        "build": manifest.build,
        "origin": manifest.origin,
        "source": manifest.source,
        "runs": manifest.build["runs"],
        "failed": manifest.failed,
        "snapshots": len(zoo),
        "left_out": len(open_zoo(path, include_failed=True)) - len(zoo),
        "steps": list(zoo.steps),
        "tasks": len(zoo.read("task").unique(dim=0)),
        "sequences_stored": zoo.sequences_stored,
        "performance_at_last_step": None if last.isnan().all() else float(last.mean()),
        "targets": {name: _plain(one) for name, one in zoo.problem.targets(zoo.steps).items()},
        "columns": {
            name: {"dtype": column.dtype, "shape": list(column.shape)}
            for name, column in zoo.columns.items()
        },
        "bytes": sum(shard.bytes for shard in manifest.shards)
        or sum(file.stat().st_size for file in Path(path).glob("*.npy")),
        "shards": len(manifest.shards),
        "schema": manifest.schema,
        "versions": manifest.versions,
    }


def summarize(path: str | Path) -> str:
    """Return what ``describe`` does, to read."""
    facts = describe(path)
    known = facts["problem_settings"].items()
    # Descriptions of a packed zoo's properties would fill the screen; they come as targets.
    settings = ", ".join(f"{name}={value}" for name, value in known if name != "properties")
    runs, snapshots, performance = f"{facts['runs']}", f"{facts['snapshots']}", "not known"
    if "seed" in facts["build"]:
        runs += f" (seed {facts['build']['seed']})"
    if failed := len(facts["failed"]):
        built = facts["origin"] == "built"
        runs += f", of which {failed} {'failed' if built else 'have values that are not finite'}"
    if facts["left_out"]:
        snapshots += f" ({facts['left_out']} others are left out)"
    if (mean := facts["performance_at_last_step"]) is not None:
        performance = f"{mean:.3f} on average at the last step"
    files = f"{facts['shards']} shards" if facts["shards"] else "published files"
    lines = {
        "zoo": facts["path"],
        "problem": f"{facts['problem']} ({settings})",
        "RNNs": str(open_zoo(path).spec),
        "origin": facts["origin"],
        "runs": runs,
        "snapshots": f"{snapshots} at steps {', '.join(map(str, facts['steps']))}",
        "tasks": str(facts["tasks"]),
        "performance": performance,
        "size": f"{facts['bytes'] / 1e6:.1f} MB in {files}",
    }
    targets = {f"  {name}": _phrase(target) for name, target in facts["targets"].items()}
    return listed({**lines, "targets": "" if targets else "none", **targets})


def _plain(target: Target) -> dict[str, Any]:
    """Return what a user wants to know of a target."""
    classes = target.labels or target.values
    return {"kind": target.kind, "parts": target.parts, "classes": list(classes)}


def _phrase(target: dict[str, Any]) -> str:
    """Return the same to read; of many classes the first and the last."""
    classes = [str(label) for label in target["classes"]]
    if len(classes) > 10:
        classes = [*classes[:5], "...", classes[-1]]
    counted = f"{len(target['classes'])} classes: {', '.join(classes)}"
    parts = f"{target['parts']} x " if target["parts"] > 1 else ""
    return parts + (counted if target["kind"] == "classes" else target["kind"])
