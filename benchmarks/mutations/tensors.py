"""Changes of files with tensors: checkpoints, state dicts, shards."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.mutations.trees import change_tree, hostile, places, short
from wsrl.zoos.manifest import BACKUP, MANIFEST, checksum_of


def hostile_tensor(chance: Random, like: Tensor) -> tuple[str, Any]:
    """Return a tensor that is not what an old one was, and what is odd about it."""
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8)
    flat, odd = like.detach().clone().flatten(), like.detach().clone()
    shape = like.shape or (1,)
    makers: dict[str, Callable[[], Any]] = {
        "one number": lambda: torch.zeros(1),
        "no dimension": lambda: torch.tensor(1.5),
        "empty": lambda: torch.zeros(0),
        "flat": lambda: flat,
        "turned": lambda: odd.t() if odd.ndim == 2 else odd.flip(0) if odd.ndim else odd[None],
        "a dimension more": lambda: odd[None],
        "a row less": lambda: odd[:-1] if odd.ndim else odd[None],
        "a row more": lambda: torch.cat([odd, odd[-1:]]) if odd.ndim else odd[None],
        "another dtype": lambda: odd.to(chance.choice(dtypes)),
        "complex": lambda: odd.to(torch.complex64),
        "conjugated": lambda: odd.to(torch.complex64).conj(),
        "NaN": lambda: torch.full_like(odd.float(), float("nan")),
        "one infinity": lambda: _with_first(odd, float("inf")),
        "huge numbers": lambda: torch.full_like(odd.float(), 3e38),
        "all zero": lambda: torch.zeros_like(odd),
        "stride 0": lambda: torch.ones(1, dtype=like.dtype).expand(shape),
        "stride 0, 10^12 numbers": lambda: torch.ones(1).expand(10**6, 10**6),
        "stride 0, one dimension": lambda: torch.ones(1).expand(10**11),
        "overlapping": lambda: torch.zeros(like.numel() + 1).as_strided(shape, [1] * len(shape)),
        "not contiguous": lambda: torch.stack([odd, odd], -1)[..., 0],
        "sparse": lambda: odd.float().to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(odd.float(), 0.1, 0, torch.qint8),
        "on no device": lambda: odd.to("meta"),
        "needs a gradient": lambda: odd.float().requires_grad_(),
        "a parameter": lambda: torch.nn.Parameter(odd.float()),
        "nested lists": lambda: odd.tolist(),
        "no tensor": lambda: hostile(chance),
    }
    name = chance.choice(list(makers))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return name, makers[name]()


def _with_first(tensor: Tensor, value: float) -> Tensor:
    tensor = tensor.float()
    tensor.view(-1)[:1] = value
    return tensor


def _change_leaf(chance: Random, tree: Any) -> str:
    """Change one tensor of a tree."""
    tensors = [place for place in places(tree) if isinstance(place[0][place[1]], Tensor)]
    if not tensors:
        return change_tree(chance, tree)
    container, key = chance.choice(tensors)
    name, container[key] = hostile_tensor(chance, container[key])
    return f"{key!r} is {name}"


def checkpoint_section(
    chance: Random, path: Path, sections: Collection[str] = (), without: Collection[str] = ()
) -> str:
    """Change one section of a checkpoint: any of its values, a tensor, or the whole of it.

    Args:
        chance: what is random.
        path: the checkpoint.
        sections: one of these, of those that there are; all by default.
        without: none of these.
    """
    content = torch.load(path, weights_only=True)
    known = [name for name in sorted(content) if name in (sections or content)]
    name = chance.choice([name for name in known if name not in without])
    section, pick = content[name], chance.random()
    if pick < 0.1:
        del content[name]
        done = "is gone"
    elif pick < 0.2 or not isinstance(section, (dict, list)) or not section:
        content[name] = hostile(chance)
        done = f"became {short(content[name])}"
    elif pick < 0.6:
        done = _change_leaf(chance, section)
    else:
        done = "; ".join(change_tree(chance, section) for _ in range(chance.choice((1, 1, 2, 5))))
    torch.save(content, path)
    return f"{name}: {done}"


def state_dict(chance: Random, path: Path) -> str:
    """Change names, layers and tensors of a state dict."""
    safe = path.suffix == ".safetensors"
    state = load(path.read_bytes()) if safe else dict(torch.load(path, weights_only=True))
    name, pick = chance.choice(sorted(state)), chance.randrange(6)
    if pick < 3:
        done, state[name] = hostile_tensor(chance, state[name])
    elif pick == 3:
        state.pop(name)
        done = "gone"
    else:
        number = chance.choice((1, 2, 999, 1001, 10**6, 999_999_999_999, 10**30))
        new = chance.choice(
            (
                *(f"rnn.weight_ih_l{number}", f"rnn.weight_hh_l{number}", f"rnn.bias_ih_l{number}"),
                *(f"{name}_reverse", f"other.{name}", name.split(".")[-1], "rnn.weight_hr_l0"),
                *(
                    "rnn.weight_ih_l-1",
                    "rnn.weight_ih_l٣",
                    "",
                    "\x1b[31mred\x07.weight",
                    name * 500,
                ),
            )
        )
        state[new] = state[name] if pick == 4 else state.pop(name)
        done = f"{'also ' if pick == 4 else ''}called {short(new)}"
    if not safe:
        torch.save(state, path)
    else:
        path.write_bytes(_safetensors(state))
    return f"{name}: {done}"


def _safetensors(state: dict[str, Any]) -> bytes:
    """Write what safetensors can hold of it."""
    kept = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    dense = {
        name: value.detach().contiguous().clone()
        for name, value in kept.items()
        if not (value.is_sparse or value.is_quantized or value.is_meta or value.numel() > 10**7)
    }
    return save(dense)


def safetensors_header(chance: Random, path: Path) -> str:
    """Change the header of a safetensors file: its JSON, or the length that it claims."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, rest = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    pick = chance.randrange(6)
    if pick == 0:
        claimed = chance.choice((0, 1, length - 1, length + 8, 2**31, 2**63, 2**64 - 1))
        path.write_bytes(struct.pack("<Q", claimed) + raw[8:])
        return f"a header of {claimed} bytes"
    if pick == 1:
        text = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        done = "nested deeply"
    else:
        done = "; ".join(change_tree(chance, header) for _ in range(chance.choice((1, 1, 2))))
        text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)
    return done


def shard(chance: Random, path: Path) -> str:
    """Change a zoo's shard, and make the manifest's checksums of it right again."""
    done = chance.choice((_shard_tensor, safetensors_header, damaged))(chance, path)
    folder = path.parent.parent
    for name in (MANIFEST, BACKUP):
        content = json.loads((folder / name).read_text())
        raw = path.read_bytes()
        for one in content["shards"]:
            if Path(one["file"]).name == path.name:
                one |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
        content.pop("sha256", None)
        content["sha256"] = checksum_of(content)
        (folder / name).write_text(json.dumps(content))
    return done


def _shard_tensor(chance: Random, path: Path) -> str:
    raw = path.read_bytes()
    state = load(raw)
    name = chance.choice(sorted(state))
    tensor, pick = state[name], chance.randrange(3)
    if pick == 0:
        done, state[name] = hostile_tensor(chance, tensor)
    elif pick == 1:
        values = (-1, 0, 127, 2**15 - 1, 2**40, 2**63 - 1)
        if tensor.is_floating_point():
            values = (float("nan"), float("inf"), -1.0, 1e30, 0.0)
        info = None if tensor.is_floating_point() else torch.iinfo(tensor.dtype)
        value = chance.choice([v for v in values if info is None or info.min <= v <= info.max])
        tensor.view(-1)[chance.randrange(tensor.numel())] = value
        done = f"holds {value}"
    else:
        del state[name]
        done = "gone"
    (length,) = struct.unpack("<Q", raw[:8])
    about = json.loads(raw[8 : 8 + length]).get("__metadata__")
    path.write_bytes(
        _safetensors(state) if about is None else save(load(_safetensors(state)), about)
    )
    return f"{name}: {done}"


def damaged(chance: Random, path: Path) -> str:
    """Flip bytes, cut a file short, or put something else in its place."""
    raw = bytearray(path.read_bytes())
    pick, at = chance.randrange(7), chance.randrange(len(raw))
    if pick < 2:
        for _ in range(chance.choice((1, 1, 10, 1000))):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        path.write_bytes(raw)
        return "bits flipped"
    if pick == 6:
        path.write_bytes(pickle.dumps(_Call(), protocol=2))
        return "a pickle that calls"
    others = {2: raw[:at], 3: raw + chance.randbytes(100), 4: b"", 5: chance.randbytes(1000)}
    path.write_bytes(others[pick])
    return ("cut short", "longer", "empty", "random bytes")[pick - 2]


class _Call:
    """Unpickling it would make a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("../outside/unpickled",)


def calling_checkpoint(chance: Random, path: Path) -> str:
    """Put a call among a checkpoint's or a state dict's values."""
    content = torch.load(path, weights_only=True)
    content[chance.choice(sorted(content))] = _Call()
    torch.save(content, path)
    return "a value that calls"


def old_format(chance: Random, path: Path) -> str:
    """Write the file as PyTorch 1.5 did, which has no checksums."""
    content = torch.load(path, weights_only=True)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return "in the old format"


def flipped_weight(chance: Random, path: Path) -> str:
    """Flip one bit of the exponent of a weight."""
    raw = bytearray(path.read_bytes())
    if path.suffix == ".safetensors":
        state = load(bytes(raw))
        names = [name for name in sorted(state) if name == "weights"]
    else:
        content = torch.load(path, weights_only=True)
        state = content.get("state_dict", content)
        names = sorted(name for name, value in state.items() if value.numel() > 8)
    name = chance.choice(names)
    start = raw.find(state[name].numpy().tobytes()[:32])
    if start < 0:
        raise RuntimeError(f"{path} does not hold {name} as it is")
    raw[start + 4 * chance.randrange(8) + 3] ^= 0x40
    path.write_bytes(raw)
    return f"{name}: one bit flipped"
