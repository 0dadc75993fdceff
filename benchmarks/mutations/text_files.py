"""Changes of JSON, YAML and tables: of what they say, and of their text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random

import yaml

from benchmarks.mutations.trees import MARKUP, TEXTS, change_tree, hostile, short
from wsrl.zoos.manifest import BACKUP, MANIFEST, checksum_of

DEEP = 100_000


def json_value(chance: Random, path: Path) -> str:
    """Change one or two values; a manifest's checksum is made right again, left, or taken out."""
    content = json.loads(path.read_text())
    done = [change_tree(chance, content) for _ in range(chance.choice((1, 1, 2)))]
    if path.name == MANIFEST and isinstance(content, dict) and "sha256" in content:
        done.append(_mend_checksum(chance, content))
    path.write_text(json.dumps(content))
    if path.name == MANIFEST and chance.random() < 0.7:
        (path.parent / BACKUP).write_text(json.dumps(content))
        done.append("its copy as well")
    return "; ".join(done)


def _mend_checksum(chance: Random, content: dict[str, object]) -> str:
    pick = chance.random()
    if pick > 0.9:
        return "checksum as it was"
    del content["sha256"]
    if pick > 0.4:
        return "without checksum"
    content["sha256"] = checksum_of(content)
    return "checksum right"


def json_text(chance: Random, path: Path) -> str:
    """Change the text: repeated keys, numbers that no machine has, nesting, other encodings."""
    text = path.read_text()
    lines = text.splitlines() if "\n" in text else text.replace(", ", ",\n").splitlines()
    at = chance.choice([number for number, line in enumerate(lines) if '": ' in line])
    key, _, value = lines[at].partition('": ')
    name, pick = key.strip() or "a line", chance.randrange(8)
    if pick == 0:
        lines.insert(at, f'{key}": {json.dumps(hostile(chance))},')
        return _put(path, lines, f"{name} is there twice")
    comma = "," if value.endswith(",") else ""
    if pick == 1:
        new = chance.choice(
            ("1e999", "-1e999", "9" * 5000, "NaN", "Infinity", "0x10", "1" + "0" * 30)
        )
        lines[at] = f'{key}": {new}{comma}'
        return _put(path, lines, f"{name}: {short(new)}")
    if pick == 2:
        left, right = chance.choice((("[", "]"), ('{"a":', "}")))
        lines[at] = f'{key}": {left * DEEP}0{right * DEEP}{comma}'
        return _put(path, lines, f"{name}: nested {DEEP} times")
    if pick == 3:
        path.write_text(text[: chance.randrange(len(text))])
        return "cut short"
    return encoded(chance, path)


def _put(path: Path, lines: list[str], done: str) -> str:
    path.write_text("\n".join(lines))
    return done


def encoded(chance: Random, path: Path) -> str:
    """Write a text in another encoding, with other ends of lines, or with stray bytes in it."""
    raw = path.read_bytes()
    at, pick = chance.randrange(len(raw) + 1), chance.randrange(8)
    changed = {
        0: ("a byte order mark", b"\xef\xbb\xbf" + raw),
        1: ("UTF-16", raw.decode(errors="replace").encode("utf-16")),
        2: ("a NUL byte", raw[:at] + b"\0" + raw[at:]),
        3: ("no UTF-8", raw[:at] + b"\xff\xfe" + raw[at:]),
        4: ("ends of lines", raw.replace(b"\n", b"\r\n" if at % 2 else b"\r")),
        5: ("control characters", raw[:at] + b"\x1b[2J\x07" + raw[at:]),
        6: ("empty", b""),
        7: ("random bytes", chance.randbytes(200)),
    }
    path.write_bytes(changed[pick][1])
    return changed[pick][0]


def yaml_value(chance: Random, path: Path) -> str:
    """Change one or two values."""
    content = yaml.safe_load(path.read_text())
    done = [change_tree(chance, content) for _ in range(chance.choice((1, 1, 2)))]
    try:
        text = yaml.safe_dump(content)
    except (yaml.YAMLError, ValueError):  # what YAML cannot say
        text = json.dumps(content)
    path.write_text(text, errors="backslashreplace")
    return "; ".join(done)


def yaml_text(chance: Random, path: Path) -> str:
    """Put something strange at a random key: anchors, tags, nesting, many nodes, numbers."""
    laughs = "".join(f"  - &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    odd = {
        "an anchor in itself": "&a [*a]",
        "an anchor that is not there": "*missing",
        "a tag that calls": '!!python/object/apply:os.mkdir ["../outside/made"]',
        "an object": "!!python/name:os.system",
        "binary": "!!binary R0lGODlh",
        "a set": "!!set {a, b}",
        "a date": "2001-12-14t21:59:43.10-05:00",
        "nested": "[" * DEEP + "]" * DEEP,
        "many nodes": "[" + "0," * 300_000 + "0]",
        "anchors of anchors": f"\n  - &l0 [x]\n{laughs}",
        "a number of 5,000 digits": "9" * 5000,
        "base 60": "1:30:00",
        "nothing": "",
        "infinity": ".inf",
        "an open bracket": "[1, 2",
        "a merge": "{<<: [{a: 1}, 2]}",
        "markup": MARKUP,
        "a keyed list": "{[1, 2]: 3}",
    }
    lines = path.read_text().splitlines()
    name, value = chance.choice(list(odd.items()))
    tops = [number for number, line in enumerate(lines) if line[:1].isalpha() and ":" in line]
    at = chance.choice(tops)
    key = lines[at].partition(":")[0]
    end = next((n for n in [*tops, len(lines)] if n > at), len(lines))
    if chance.random() < 0.2:
        return encoded(chance, path)
    lines[at:end] = [f"{key}: {value}"]
    path.write_text("\n".join(lines) + "\n")
    return f"{key}: {name}"


CELLS = (
    *("2_16", "1__0", "_1", "1_", "٣", "1e400", "-1e400", "nan", "inf", "1,5", "0x10", " 1 ", "+1"),
    *(
        "9" * 400,
        "9" * 5000,
        "9007199254740993",
        "18446744073709551616",
        "1" * 19,
        "-0",
        "1e5",
        "True",
    ),
    *("\x1b[31mred\x07", "a\nb", "a\x00b", MARKUP, "=1+1", "NA", "None", "null", "", "'", '"'),
    *("../outside/keep.txt", "/dev/zero", "models", ".", "x" * 200_000, "é", "\u202e", "0" * 40),
)


def table_cell(chance: Random, path: Path) -> str:
    """Change cells, a column, or the rows and columns there are."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    row, column, pick = (
        chance.randrange(len(rows)),
        chance.randrange(len(rows[0])),
        chance.randrange(9),
    )
    value = chance.choice(CELLS)
    if pick < 4:
        rows[row][column] = value
        done = f"row {row}, column {column}: {short(value)}"
    elif pick < 6:
        for one in rows[1:]:
            one[column] = value if chance.random() < 0.7 else chance.choice(CELLS)
        done = f"column {column}: {short(value)} and others"
    elif pick == 6:
        for one in rows[:: chance.choice((1, 2))]:
            one.pop(column % len(one))
        done = f"column {column} is missing in rows"
    elif pick == 7:
        rows.insert(row, [*rows[row], *chance.choice(([], ["x"], ["x"] * 5000))])
        done = f"row {row} is there twice"
    else:
        rows = (
            [[*one, *one] for one in rows]
            if chance.random() < 0.5
            else rows[: chance.choice((0, 1, 2))]
        )
        done = "columns twice, or few rows"
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), errors="backslashreplace")
    return done


def table_text(chance: Random, path: Path) -> str:
    """Change separators, quotes, or the encoding."""
    text, pick = path.read_text(), chance.randrange(5)
    if pick == 0:
        separator = chance.choice((";", "\t", "|", ", ", ",,", "\x1f"))
        path.write_text(text.replace(",", separator))
        return f"separated by {separator!r}"
    if pick == 1:
        at = chance.randrange(len(text))
        path.write_text(
            text[:at] + chance.choice(('"', "\n", "\n\n\n", ",", "\\", "#")) + text[at:]
        )
        return f"something at character {at}"
    if pick == 2:
        path.write_text(
            text.replace("animal", chance.choice((*TEXTS[:6], "step", "file", "weights")))
        )
        return "a column has another name"
    if pick == 3:
        path.write_text(text + "x" * 20_000_000)
        return "a line of 20 MB"
    return encoded(chance, path)
