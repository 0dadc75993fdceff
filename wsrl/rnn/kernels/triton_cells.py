"""Triton kernels for the recurrent part of one layer: all steps of a block of sequences at once.

A program belongs to one RNN and ``ROWS`` of its sequences. It loads the recurrent weights once and
goes through the steps; what does not depend on the step before is left to products over all steps.

Tensors are float32 and contiguous: ``gates (P, S, T, blocks * H)``, ``hidden`` and ``memory
(P, S, T, H)``, states ``(P, S, H)``, ``flat (P, N)``; gates are in the order of ``torch.nn``.
``SIZE`` is ``H`` filled up by zeros to a power of two.
"""
# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"

import triton
import triton.language as tl

PRECISION = tl.constexpr("ieee")
"""Of products. The tensor cores' TF32 is right to three digits only."""


@triton.jit
def sigmoid(x):
    """Return the logistic function; where the exponential overflows, 0."""
    return 1 / (1 + tl.exp(-x))


@triton.jit
def tanh(x):
    """Return tanh: an odd polynomial near 0, where ``1 - 2 / (exp(2x) + 1)`` would cancel."""
    size, square = tl.abs(x), x * x
    series = -0.05379082 + square * (0.020818237 + square * -0.00591984205)
    series = -0.333333015 + square * (0.133320123 + square * series)
    far = 1 - 2 / (tl.exp(2 * size) + 1)
    return tl.where(size < 0.6, x + x * square * series, tl.where(x < 0, -far, far))


@triton.jit
def _place(S, H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr):
    """Return this program's RNN, its sequences among all, its neurons, and which of these exist."""
    blocks = tl.cdiv(S, ROWS)
    rnn = (tl.program_id(0) // blocks).to(tl.int64)
    row = (tl.program_id(0) % blocks) * ROWS + tl.arange(0, ROWS)
    neuron = tl.arange(0, SIZE)
    exists = (row < S)[:, None] & (neuron < H)[None, :]
    return rnn, (rnn * S + row)[:, None], neuron[None, :], exists


@triton.jit
def _matrix(weights, gate: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr):
    """Load a gate's recurrent weights as they are stored, ``(to, from)``."""
    to, source = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    return tl.load(weights + (gate * H + to) * H + source, mask=(to < H) & (source < H), other=0.0)


@triton.jit
def _turned(weights, gate: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr):
    """Load a gate's recurrent weights turned, ``(from, to)``."""
    source, to = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    return tl.load(weights + (gate * H + to) * H + source, mask=(to < H) & (source < H), other=0.0)


@triton.jit
def _bias(biases, gate: tl.constexpr, neuron, H: tl.constexpr, HAS_BIAS: tl.constexpr):
    """Load a gate's bias ``(1, SIZE)``."""
    if HAS_BIAS:
        bias = tl.load(biases + gate * H + neuron, mask=neuron < H, other=0.0)
    else:
        bias = tl.zeros(neuron.shape, tl.float32)
    return bias


@triton.jit
def _gradient(gradient, at, exists):
    """Load gradients, or zeros where there are none."""
    if gradient is None:
        values = tl.zeros(at.shape, tl.float32)
    else:
        values = tl.load(gradient + at, mask=exists, other=0.0)
    return values


@triton.jit
def _before(sequence, first, at, state_at, t, H: tl.constexpr, exists):
    """Load what a tape ``(P, S, T, H)`` held before step ``t``."""
    start = tl.load(first + state_at, mask=exists & (t == 0), other=0.0)
    return start + tl.load(sequence + at - H, mask=exists & (t > 0), other=0.0)


@triton.jit(do_not_specialize=["S", "T"])
def lstm_forward(
    flat, N, weight_at, bias_ih_at, bias_hh_at, gates, hidden, memory, first_h, first_c, S, T,
    HAS_BIAS: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Turn ``gates`` from the inputs' part into activations; write ``hidden`` and ``memory``."""
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weights, bias_ih = flat + rnn * N + weight_at, flat + rnn * N + bias_ih_at
    bias_hh = flat + rnn * N + bias_hh_at
    w_i, w_f = _turned(weights, 0, H, SIZE), _turned(weights, 1, H, SIZE)
    w_g, w_o = _turned(weights, 2, H, SIZE), _turned(weights, 3, H, SIZE)
    b_i = _bias(bias_ih, 0, neuron, H, HAS_BIAS) + _bias(bias_hh, 0, neuron, H, HAS_BIAS)
    b_f = _bias(bias_ih, 1, neuron, H, HAS_BIAS) + _bias(bias_hh, 1, neuron, H, HAS_BIAS)
    b_g = _bias(bias_ih, 2, neuron, H, HAS_BIAS) + _bias(bias_hh, 2, neuron, H, HAS_BIAS)
    b_o = _bias(bias_ih, 3, neuron, H, HAS_BIAS) + _bias(bias_hh, 3, neuron, H, HAS_BIAS)
    h = tl.load(first_h + row * H + neuron, mask=exists, other=0.0)
    c = tl.load(first_c + row * H + neuron, mask=exists, other=0.0)
    for t in range(T):
        at = gates + (row * T + t) * 4 * H + neuron
        i = tl.load(at, mask=exists, other=0.0) + b_i
        f = tl.load(at + H, mask=exists, other=0.0) + b_f
        g = tl.load(at + 2 * H, mask=exists, other=0.0) + b_g
        o = tl.load(at + 3 * H, mask=exists, other=0.0) + b_o
        i = sigmoid(tl.dot(h, w_i, i, input_precision=PRECISION))
        f = sigmoid(tl.dot(h, w_f, f, input_precision=PRECISION))
        g = tanh(tl.dot(h, w_g, g, input_precision=PRECISION))
        o = sigmoid(tl.dot(h, w_o, o, input_precision=PRECISION))
        c = f * c + i * g
        h = o * tanh(c)
        tl.store(at, i, mask=exists)
        tl.store(at + H, f, mask=exists)
        tl.store(at + 2 * H, g, mask=exists)
        tl.store(at + 3 * H, o, mask=exists)
        tl.store(hidden + (row * T + t) * H + neuron, h, mask=exists)
        tl.store(memory + (row * T + t) * H + neuron, c, mask=exists)


@triton.jit(do_not_specialize=["S", "T"])
def lstm_backward(
    flat, N, weight_at, gates, hidden, memory, first_h, first_c, above, d_last_h, d_last_c,
    d_gates, d_first_h, d_first_c, S, T,
    H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Write the gradients of the pre-activations and of the first state.

    ``above (P, S, T, H)`` is the gradient of ``hidden`` from the layer above, or ``None``.
    """
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weights = flat + rnn * N + weight_at
    w_i, w_f = _matrix(weights, 0, H, SIZE), _matrix(weights, 1, H, SIZE)
    w_g, w_o = _matrix(weights, 2, H, SIZE), _matrix(weights, 3, H, SIZE)
    state_at = row * H + neuron
    d_h, d_c = _gradient(d_last_h, state_at, exists), _gradient(d_last_c, state_at, exists)
    c = tl.load(memory + (row * T + T - 1) * H + neuron, mask=exists, other=0.0)
    for back in range(T):
        t = T - 1 - back
        at = (row * T + t) * H + neuron
        gate_at = (row * T + t) * 4 * H + neuron
        i = tl.load(gates + gate_at, mask=exists, other=0.0)
        f = tl.load(gates + gate_at + H, mask=exists, other=0.0)
        g = tl.load(gates + gate_at + 2 * H, mask=exists, other=0.0)
        o = tl.load(gates + gate_at + 3 * H, mask=exists, other=0.0)
        before = _before(memory, first_c, at, state_at, t, H, exists)
        d_h += _gradient(above, at, exists)
        squashed = tanh(c)
        d_c += d_h * o * (1 - squashed * squashed)
        d_i, d_f = d_c * g * i * (1 - i), d_c * before * f * (1 - f)
        d_g, d_o = d_c * i * (1 - g * g), d_h * squashed * o * (1 - o)
        tl.store(d_gates + gate_at, d_i, mask=exists)
        tl.store(d_gates + gate_at + H, d_f, mask=exists)
        tl.store(d_gates + gate_at + 2 * H, d_g, mask=exists)
        tl.store(d_gates + gate_at + 3 * H, d_o, mask=exists)
        d_h = tl.dot(d_i, w_i, input_precision=PRECISION)
        d_h = tl.dot(d_f, w_f, d_h, input_precision=PRECISION)
        d_h = tl.dot(d_g, w_g, d_h, input_precision=PRECISION)
        d_h = tl.dot(d_o, w_o, d_h, input_precision=PRECISION)
        d_c, c = d_c * f, before
    if d_first_h is not None:
        tl.store(d_first_h + state_at, d_h, mask=exists)
        tl.store(d_first_c + state_at, d_c, mask=exists)


@triton.jit(do_not_specialize=["S", "T"])
def gru_forward(
    flat, N, weight_at, bias_ih_at, bias_hh_at, gates, hidden, memory, first_h, first_c, S, T,
    HAS_BIAS: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Do the same for a GRU, which has no ``memory``.

    ``gates`` has four blocks: r, z, n, and the recurrent part of n, on which r acts with its bias.
    """
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weights, bias_ih = flat + rnn * N + weight_at, flat + rnn * N + bias_ih_at
    bias_hh = flat + rnn * N + bias_hh_at
    w_r, w_z = _turned(weights, 0, H, SIZE), _turned(weights, 1, H, SIZE)
    w_n = _turned(weights, 2, H, SIZE)
    b_r = _bias(bias_ih, 0, neuron, H, HAS_BIAS) + _bias(bias_hh, 0, neuron, H, HAS_BIAS)
    b_z = _bias(bias_ih, 1, neuron, H, HAS_BIAS) + _bias(bias_hh, 1, neuron, H, HAS_BIAS)
    b_n = _bias(bias_ih, 2, neuron, H, HAS_BIAS)
    b_recurrent = _bias(bias_hh, 2, neuron, H, HAS_BIAS)
    h = tl.load(first_h + row * H + neuron, mask=exists, other=0.0)
    for t in range(T):
        at = gates + (row * T + t) * 4 * H + neuron
        r = tl.load(at, mask=exists, other=0.0) + b_r
        z = tl.load(at + H, mask=exists, other=0.0) + b_z
        n = tl.load(at + 2 * H, mask=exists, other=0.0) + b_n
        r = sigmoid(tl.dot(h, w_r, r, input_precision=PRECISION))
        z = sigmoid(tl.dot(h, w_z, z, input_precision=PRECISION))
        recurrent = tl.dot(h, w_n, input_precision=PRECISION) + b_recurrent
        n = tanh(n + r * recurrent)
        h = n + z * (h - n)
        tl.store(at, r, mask=exists)
        tl.store(at + H, z, mask=exists)
        tl.store(at + 2 * H, n, mask=exists)
        tl.store(at + 3 * H, recurrent, mask=exists)
        tl.store(hidden + (row * T + t) * H + neuron, h, mask=exists)


@triton.jit(do_not_specialize=["S", "T"])
def gru_backward(
    flat, N, weight_at, gates, hidden, memory, first_h, first_c, above, d_last_h, d_last_c,
    d_gates, d_first_h, d_first_c, S, T,
    H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Do the same for a GRU; the fourth block of ``d_gates`` is that of n's recurrent part."""
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weights = flat + rnn * N + weight_at
    w_r, w_z = _matrix(weights, 0, H, SIZE), _matrix(weights, 1, H, SIZE)
    w_n = _matrix(weights, 2, H, SIZE)
    state_at = row * H + neuron
    d_h = _gradient(d_last_h, state_at, exists)
    for back in range(T):
        t = T - 1 - back
        at = (row * T + t) * H + neuron
        gate_at = (row * T + t) * 4 * H + neuron
        r = tl.load(gates + gate_at, mask=exists, other=0.0)
        z = tl.load(gates + gate_at + H, mask=exists, other=0.0)
        n = tl.load(gates + gate_at + 2 * H, mask=exists, other=0.0)
        recurrent = tl.load(gates + gate_at + 3 * H, mask=exists, other=0.0)
        before = _before(hidden, first_h, at, state_at, t, H, exists)
        d_h += _gradient(above, at, exists)
        d_n = d_h * (1 - z) * (1 - n * n)
        d_r = d_n * recurrent * r * (1 - r)
        d_z = d_h * (before - n) * z * (1 - z)
        d_recurrent = d_n * r
        tl.store(d_gates + gate_at, d_r, mask=exists)
        tl.store(d_gates + gate_at + H, d_z, mask=exists)
        tl.store(d_gates + gate_at + 2 * H, d_n, mask=exists)
        tl.store(d_gates + gate_at + 3 * H, d_recurrent, mask=exists)
        d_h = tl.dot(d_r, w_r, d_h * z, input_precision=PRECISION)
        d_h = tl.dot(d_z, w_z, d_h, input_precision=PRECISION)
        d_h = tl.dot(d_recurrent, w_n, d_h, input_precision=PRECISION)
    if d_first_h is not None:
        tl.store(d_first_h + state_at, d_h, mask=exists)


@triton.jit
def _activated(x, ACTIVATION: tl.constexpr):
    """Return what an Elman cell makes of its sum."""
    if ACTIVATION == "tanh":
        x = tanh(x)
    if ACTIVATION == "relu":
        x = tl.where(x <= 0, 0.0, x)  # NaN stays NaN
    return x


@triton.jit
def _activated_backward(h, d_h, ACTIVATION: tl.constexpr):
    """Return the gradient of an activation's input from that of its output."""
    if ACTIVATION == "tanh":
        d_h *= 1 - h * h
    if ACTIVATION == "relu":
        d_h = tl.where(h <= 0, 0.0, d_h)
    return d_h


@triton.jit(do_not_specialize=["S", "T"])
def elman_forward(
    flat, N, weight_at, bias_ih_at, bias_hh_at, gates, hidden, memory, first_h, first_c, S, T,
    HAS_BIAS: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
    ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Do the same for an Elman RNN, whose one gate is its state: ``gates`` become ``hidden``."""
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weight = _turned(flat + rnn * N + weight_at, 0, H, SIZE)
    bias = _bias(flat + rnn * N + bias_ih_at, 0, neuron, H, HAS_BIAS)
    bias += _bias(flat + rnn * N + bias_hh_at, 0, neuron, H, HAS_BIAS)
    h = tl.load(first_h + row * H + neuron, mask=exists, other=0.0)
    for t in range(T):
        at = gates + (row * T + t) * H + neuron
        driven = tl.load(at, mask=exists, other=0.0) + bias
        h = _activated(tl.dot(h, weight, driven, input_precision=PRECISION), ACTIVATION)
        tl.store(at, h, mask=exists)


@triton.jit(do_not_specialize=["S", "T"])
def elman_backward(
    flat, N, weight_at, gates, hidden, memory, first_h, first_c, above, d_last_h, d_last_c,
    d_gates, d_first_h, d_first_c, S, T,
    H: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Do the same for an Elman RNN."""
    rnn, row, neuron, exists = _place(S, H, SIZE, ROWS)
    weight = _matrix(flat + rnn * N + weight_at, 0, H, SIZE)
    state_at = row * H + neuron
    d_h = _gradient(d_last_h, state_at, exists)
    for back in range(T):
        at = (row * T + T - 1 - back) * H + neuron
        h = tl.load(gates + at, mask=exists, other=0.0)
        d_gate = _activated_backward(h, d_h + _gradient(above, at, exists), ACTIVATION)
        tl.store(d_gates + at, d_gate, mask=exists)
        d_h = tl.dot(d_gate, weight, input_precision=PRECISION)
    if d_first_h is not None:
        tl.store(d_first_h + state_at, d_h, mask=exists)
