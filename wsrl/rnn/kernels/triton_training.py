"""Triton kernels for what training needs besides the RNNs: the loss, and AdamW."""
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["S", "T"])
def cross_entropy(
    logits, targets, sequence_weights, losses, S, T,
    CLASSES: tl.constexpr, WITH_GRADIENT: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Write an RNN's loss; where asked, overwrite its ``logits (P, S, T, O)`` by their gradient.

    A program per RNN. Sequences with a weight of 0 count nothing, whatever their logits are. A
    target that is no class makes the loss NaN: raising an error would wait for the GPU.
    """
    rnn = tl.program_id(0).to(tl.int64)
    classes = tl.arange(0, SIZE)[None, :]
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, S * T, ROWS):
        row = start + tl.arange(0, ROWS)
        share = tl.load(sequence_weights + rnn * S + row // T, mask=row < S * T, other=0.0) / T
        counts = share != 0
        at = (rnn * S * T + row)[:, None] * CLASSES + classes
        exists = counts[:, None] & (classes < CLASSES)
        target = tl.load(targets + rnn * S * T + row, mask=counts, other=0)
        value = tl.load(logits + at, mask=exists, other=0.0)
        value = tl.where(classes < CLASSES, value, float("-inf"))
        value = value - tl.max(value, 1)[:, None]
        power = tl.exp(value)
        whole = tl.sum(power, 1)
        wanted = classes == target[:, None]
        loss = tl.log(whole) - tl.sum(tl.where(wanted, value, 0.0), 1)
        loss = tl.where((target >= 0) & (target < CLASSES), loss, float("nan"))
        total += tl.where(counts, share * loss, 0.0)
        if WITH_GRADIENT:
            gradient = share[:, None] * (power / whole[:, None] - wanted.to(tl.float32))
            tl.store(logits + at, tl.where(counts[:, None], gradient, 0.0),
                     mask=(row < S * T)[:, None] & (classes < CLASSES))  # fmt: skip
    tl.store(losses + rnn, tl.sum(total, 0))


@triton.jit
def adamw(
    flat, mean, square, gradient, kept, N, beta1, beta2, epsilon, rate, correction,
    SIZE: tl.constexpr,
):  # fmt: skip
    """Update ``SIZE`` weights of one RNN, as ``cpu.adamw``."""
    blocks = tl.cdiv(N, SIZE)
    rnn = (tl.program_id(0) // blocks).to(tl.int64)
    weight = (tl.program_id(0) % blocks) * SIZE + tl.arange(0, SIZE)
    at, exists = rnn * N + weight, weight < N
    g, m = tl.load(gradient + at, mask=exists), tl.load(mean + at, mask=exists)
    v, w = tl.load(square + at, mask=exists), tl.load(flat + at, mask=exists)
    m += (1 - beta1) * (g - m)
    v = v * beta2 + (1 - beta2) * g * g
    w = w * tl.load(kept + rnn) - rate * m / (tl.sqrt(v / correction) + epsilon)
    tl.store(mean + at, m, mask=exists)
    tl.store(square + at, v, mask=exists)
    tl.store(flat + at, w, mask=exists)
