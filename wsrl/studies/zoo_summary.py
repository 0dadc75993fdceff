"""What ``wsrl zoo`` says of a finished zoo, or of several as one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsrl.problems.splits import split_sizes
from wsrl.rnn import RNNSpec
from wsrl.studies.tables import aligned, listed, shown
from wsrl.zoos import AnyZoo, Zoo, open_one, open_zoo


def describe(path: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    """Return what a finished zoo holds, as plain values, or raise ``ZooError``.

    Of a folder of zoos, or of several, it is what they hold together, and under ``zoos`` what each
    holds.
    """
    zoo = open_zoo(path)
    zoo.check()
    if isinstance(zoo, Zoo):
        return _describe(zoo)
    zoos = [_describe(each) for each in zoo.zoos]
    kept = ("problem", "problem_settings")
    added = ("runs", "snapshots", "left_out", "bytes", "shards")
    return {
        "path": ", ".join(map(str, [path] if isinstance(path, str | Path) else path)),
        **{name: zoos[0][name] for name in kept},
        **{name: sum(each[name] for each in zoos) for name in added},
        **_common(zoo),
        "specs": [spec.to_dict() for spec in zoo.specs],
        "zoos": zoos,
    }


def _describe(zoo: Zoo) -> dict[str, Any]:
    manifest = zoo.manifest
    performance = zoo.read("performance")
    last = performance[zoo.read("step") == max(zoo.steps)]
    names = ("problem", "problem_settings", "spec", "build", "origin", "source", "failed")
    return {
        "path": str(zoo.path),
        **{name: getattr(manifest, name) for name in (*names, "schema", "versions")},
        "runs": manifest.build["runs"],
        "snapshots": len(zoo),
        "left_out": len(open_one(zoo.path, include_failed=True)) - len(zoo),
        **_common(zoo),
        "performance_at_last_step": None if last.isnan().all() else float(last.mean()),
        "columns": {
            name: {"dtype": column.dtype, "shape": list(column.shape)}
            for name, column in zoo.columns.items()
        },
        "bytes": sum(shard.bytes for shard in manifest.shards)
        or sum(file.stat().st_size for file in zoo.path.glob("*.npy")),
        "shards": len(manifest.shards),
    }


def _common(zoo: AnyZoo) -> dict[str, Any]:
    return {
        "steps": list(zoo.steps),
        "tasks": len(zoo.read("task").unique(dim=0)),
        "sequences_stored": zoo.sequences_stored,
        "targets": {
            name: {"kind": t.kind, "parts": t.parts, "classes": list(t.labels or t.values)}
            for name, t in zoo.targets.items()
        },
    }


def summarize(path: str | Path | Sequence[str | Path]) -> str:
    """Return what ``describe`` does, to read."""
    facts = describe(path)
    zoos = facts.get("zoos", [facts])
    # Descriptions of a packed zoo's properties would fill the screen; they come as targets.
    known = facts["problem_settings"].items()
    settings = ", ".join(f"{name}={value}" for name, value in known if name != "properties")
    performance = shown(zoos[0]["performance_at_last_step"])
    failed = sum(len(zoo["failed"]) for zoo in zoos)
    specs = [str(RNNSpec(**zoo["spec"])) for zoo in zoos]
    folders = [Path(zoo["path"]) for zoo in zoos]
    several = len(zoos) > 1
    lines = {
        f"{len(zoos)} zoos" if several else "zoo": facts["path"],
        "problem": f"{facts['problem']} ({settings})",
        "RNNs": f"of {len(set(specs))} specs" if several else specs[0],
        "origin": ", ".join(dict.fromkeys(zoo["origin"] for zoo in zoos)),
        "runs": f"{facts['runs']}, {failed} failed",
        "snapshots": f"{facts['snapshots']} ({facts['left_out']} others are left out) "
        f"at steps {', '.join(map(str, facts['steps']))}",
        "tasks": f"{facts['tasks']} ({_split(facts['tasks'])})",
        **({} if several else {"performance": f"{performance} on average at the last step"}),
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
    if not several:
        return listed(lines)
    names = ["zoo", "RNNs", "runs", "snapshots", "tasks"]
    names += ["performance"] * any(zoo["performance_at_last_step"] is not None for zoo in zoos)
    rows = [
        {
            **zoo,
            "zoo": folder.name if len({path.name for path in folders}) == len(folders) else folder,
            "RNNs": spec,
            "performance": zoo["performance_at_last_step"],
        }
        for zoo, spec, folder in zip(zoos, specs, folders, strict=True)
    ]
    return f"{listed(lines)}\n\n{aligned(names, rows)}"


def _split(tasks: int) -> str:
    """Say what a split by task would hold out of so many."""
    sizes = split_sizes(tasks)
    if not all(sizes.values()):
        return "too few to hold some out: train with --data.split_by nothing, or have 7 and more"
    return ", ".join(f"{count} {name}" for name, count in sizes.items())
