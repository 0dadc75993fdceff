"""The loss that populations of RNNs are trained with, and its gradient in one pass."""

from torch import Tensor
from torch.nn import functional

from wsrl.rnn.backends import Backend, choose_backend, for_kernels, kernels_of
from wsrl.rnn.kernels import functions
from wsrl.rnn.population import check_run, run_population
from wsrl.rnn.weights import RNNWeights


def sequence_cross_entropy(outputs: Tensor, targets: Tensor, sequence_weights: Tensor) -> Tensor:
    """Return the cross-entropy ``(P,)`` of every RNN, averaged over steps, weighted over sequences.

    ``outputs (P, S, T, O)`` are logits, ``targets (P, S, T)`` class indices, ``sequence_weights``
    ``(P, S)``.
    """
    losses = functional.cross_entropy(outputs.flatten(0, 2), targets.flatten(), reduction="none")
    return (losses.view_as(targets).mean(2) * sequence_weights).sum(1)


def population_cross_entropy(
    weights: RNNWeights,
    inputs: Tensor,
    targets: Tensor,
    sequence_weights: Tensor,
    backend: Backend = "auto",
) -> Tensor:
    """Return each RNN's ``sequence_cross_entropy`` on its own ``inputs (P, S, T, I)``.

    Gradients go to the weights only. The kernels compute them together with the losses, sequence by
    sequence, and skip sequences with a weight of 0; they are not differentiable in turn.
    """
    _check(weights, inputs, targets, sequence_weights)
    chosen = choose_backend(backend, weights, inputs, sequence_weights)
    if chosen == "eager" or not weights.spec.is_core:
        own: Backend = "eager" if chosen == "eager" else backend
        outputs, _ = run_population(weights, inputs, backend=own)
        return sequence_cross_entropy(outputs, targets, sequence_weights)
    core, data = for_kernels(weights), (inputs, targets, sequence_weights)
    losses: Tensor = functions.CrossEntropy.apply(  # type: ignore[no-untyped-call]
        core.flat, core.spec, kernels_of(chosen), *data
    )
    return losses


def _check(weights: RNNWeights, inputs: Tensor, targets: Tensor, sequence_weights: Tensor) -> None:
    check_run(weights, inputs, None)
    wanted = (len(weights), *inputs.shape[1:3])
    if targets.shape != wanted or sequence_weights.shape != wanted[:2]:
        raise ValueError(
            f"targets must be (P, S, T) = {wanted} and sequence_weights (P, S) = {wanted[:2]}, "
            f"not {tuple(targets.shape)} and {tuple(sequence_weights.shape)}"
        )
    if inputs.requires_grad or sequence_weights.requires_grad:
        raise ValueError("gradients go to the weights only: detach inputs and sequence_weights")
    if len(weights) == 0 or targets.device.type != "cpu":
        return  # looking at targets on a GPU would wait for it
    low, high = targets.aminmax()
    if low < 0 or high >= weights.spec.output_size:
        raise ValueError(
            f"targets must be classes 0..{weights.spec.output_size - 1}, found {int(low)} and "
            f"{int(high)}"
        )
