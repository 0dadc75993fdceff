"""How fast zoos train in JAX: the same steps by ``vmap``, ``scan`` and ``jit``, side by side.

    pip install --no-deps --target DIR jax jaxlib ml_dtypes opt_einsum
    PYTHONPATH=DIR python benchmarks/jax_speed.py [--unroll 1 4] [--rounds 5] [--threads 2]

wsrl does not need JAX; it is installed in a folder of its own, beside wsrl's packages, and only
this benchmark uses it. Three ways take turns:

- plain: one ``torch.nn.LSTM`` after the other, as in ``zoo_speed.py``.
- jax: one jitted function for the loss, its gradients and AdamW of all members. The layers of a
  member are ``lax.scan`` over the steps, the products of its inputs are made for all steps at once,
  and the members are a ``vmap``. Batches are made beforehand, which wsrl's are not.
- cpu: wsrl's kernels; batches are made in the step.

Before anything is timed, losses, gradients and AdamW's updates are compared over three steps: the
two do the same work. Rows and columns are those of ``zoo_speed.py``. Compilation is not timed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from measuring import product_rates
from zoo_speed import DECAY, RATE, Workload, compare, header, plain, population, workloads

from wsrl.rnn import RNNSpec, RNNWeights, population_cross_entropy
from wsrl.zoos.group import initial_weights
from wsrl.zoos.optimizer import BETA1, BETA2, EPSILON, PopulationAdamW

BATCHES = 3
"""Different batches that JAX's steps go through."""

TOLERANCE = 1e-4
"""Relative to the largest number, in float32."""


def loss_function(spec: RNNSpec, unroll: int) -> Callable[..., Any]:
    """Return one LSTM's cross-entropy as a function of flat weights and ``(S, T, I)`` inputs."""
    import jax
    from jax import numpy as jnp

    def tensor(flat: Any, name: str) -> Any:
        (found,) = [one for one in spec.tensors if one.name == name]
        size = found.shape[0] if len(found.shape) == 1 else found.shape[0] * found.shape[1]
        return flat[found.offset : found.offset + size].reshape(found.shape)

    def layer(flat: Any, number: int, inputs: Any) -> Any:
        """Run a layer on ``(T, S, I)``."""
        weight, recurrent, bias, other = (
            tensor(flat, f"rnn.{name}_l{number}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        projected = inputs @ weight.T + (bias + other)

        def cell(state: Any, now: Any) -> Any:
            hidden, kept = state
            gates = now + hidden @ recurrent.T
            enter, forget, new, leave = jnp.split(gates, 4, axis=-1)
            kept = jax.nn.sigmoid(forget) * kept + jax.nn.sigmoid(enter) * jnp.tanh(new)
            hidden = jax.nn.sigmoid(leave) * jnp.tanh(kept)
            return (hidden, kept), hidden

        zeros = jnp.zeros((inputs.shape[1], spec.hidden_size))
        _, outputs = jax.lax.scan(cell, (zeros, zeros), projected, unroll=unroll)
        return outputs

    def loss(flat: Any, inputs: Any, targets: Any, weights: Any) -> Any:
        values = inputs.swapaxes(0, 1)
        for number in range(spec.num_layers):
            values = layer(flat, number, values)
        logits = values @ tensor(flat, "linear.weight").T + tensor(flat, "linear.bias")
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets.T[..., None], -1)[..., 0]
        return (-chosen.mean(0) * weights).sum()

    return loss


class Training:
    """All members in JAX; a call makes a step of each.

    Args:
        work: what they are trained on.
        members: how many.
        unroll: steps of the scan that are compiled as one.
    """

    def __init__(self, work: Workload, members: int, unroll: int) -> None:
        import jax
        from jax import numpy as jnp

        self.members = members
        flat = jnp.asarray(initial_weights(work.spec, 0, range(members)).numpy())
        self.state = (flat, jnp.zeros_like(flat), jnp.zeros_like(flat))
        batches = [work.stream.batch(number) for number in range(BATCHES)]
        self.batches = [
            tuple(jnp.asarray(x.numpy()) for x in (b.inputs, b.targets.int(), b.weights))
            for b in batches
        ]
        self.evaluate = jax.vmap(jax.value_and_grad(loss_function(work.spec, unroll)))
        self.update = jax.jit(self._update, donate_argnums=0)
        self.steps = 0

    def _update(self, state: Any, batch: Any, count: Any) -> Any:
        losses, gradient = self.evaluate(state[0], *batch)
        return self.adamw(state, gradient, count), losses

    @staticmethod
    def adamw(state: Any, gradient: Any, count: Any) -> Any:
        """Make the update that ``PopulationAdamW`` makes."""
        from jax import numpy as jnp

        flat, mean, square = state
        mean = BETA1 * mean + (1 - BETA1) * gradient
        square = BETA2 * square + (1 - BETA2) * gradient**2
        scale = jnp.sqrt(square / (1 - BETA2**count)) + EPSILON
        flat = flat * (1 - RATE * DECAY) - RATE / (1 - BETA1**count) * mean / scale
        return flat, mean, square

    def __call__(self, number: int) -> int:
        self.steps += 1
        batch = self.batches[number % BATCHES]
        self.state, losses = self.update(self.state, batch, float(self.steps))
        losses.block_until_ready()
        return self.members


def check_same_work(work: Workload, members: int, unroll: int) -> None:
    """Compare losses, gradients and updates over some steps with wsrl's.

    Every step starts from the same weights: small numbers that AdamW divides by would otherwise
    make differences in rounding as large as the update.

    Raises:
        RuntimeError: where they differ by more than rounding.
    """
    from jax import numpy as jnp

    theirs = Training(work, members, unroll)
    errors = {"loss": 0.0, "gradient": 0.0, "weight": 0.0}
    flat = initial_weights(work.spec, 0, range(members)).requires_grad_()
    optimizer = PopulationAdamW(flat, DECAY)
    for number in range(BATCHES):
        batch = work.stream.batch(number)
        data = (batch.inputs, batch.targets, batch.weights)
        losses = population_cross_entropy(RNNWeights(flat, work.spec), *data)
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        before = jnp.asarray(flat.detach().numpy().copy())
        found = theirs.evaluate(before, *theirs.batches[number])
        pairs = {"loss": (losses, found[0]), "gradient": (gradient, found[1])}
        with torch.no_grad():
            optimizer.step(gradient, RATE)
        state = (before, *theirs.state[1:])
        theirs.state = theirs.adamw(state, jnp.asarray(gradient.numpy()), number + 1.0)
        pairs["weight"] = (flat, theirs.state[0])
        for name, (our, their) in pairs.items():
            error = (our.detach() - torch.from_dlpack(their)).abs().max() / our.detach().abs().max()
            errors[name] = max(errors[name], float(error))
            if not error < TOLERANCE:
                raise RuntimeError(f"{work.name}: the {name} differs by {error:.2g}")
    said = ", ".join(f"{name} {error:.1g}" for name, error in errors.items())
    print(f"{work.name}, unroll {unroll}: largest relative differences: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--unroll", type=int, nargs="+", default=[1])
    parser.add_argument("--check", action="store_true", help="compare the values only")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # JAX starts a thread for each core that it may use
        cores = sorted(os.sched_getaffinity(0))[: options.threads]
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(options.threads)
    try:
        import jax
    except ImportError:
        sys.exit("JAX is not there: install it as the head of this file says")
    print(
        f"JAX {jax.__version__}, {options.threads} threads, {options.members} members, 2x32 LSTMs"
    )
    print(f"load of the machine before: {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    works = workloads(options.members)
    for work in works:
        for unroll in options.unroll:
            check_same_work(work, options.members, unroll)
    if options.check:
        return
    floor = product_rates()["large"]
    print(f"one large product: {floor / 1e9:.0f} GFLOP/s")
    print(header())
    for work in works:
        ways = {"plain": plain(work, options.members)}
        for unroll in options.unroll:
            ways[f"jax, unroll {unroll}"] = Training(work, options.members, unroll)
        ways["cpu"] = population(work, options.members, "cpu")
        compare(work.name, ways, options.rounds, options.seconds, floor)


if __name__ == "__main__":
    main()
