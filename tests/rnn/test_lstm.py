"""A wide layer on fused cells is ``torch.nn.LSTM``."""

import pytest
import torch
from torch import Tensor, nn

from wsrl.rnn.kernels import compilation
from wsrl.rnn.lstm import fused_cells_serve, project, run_lstm_layer

kernels = compilation.library("lstm_cell")
pytestmark = pytest.mark.skipif(isinstance(kernels, Exception), reason=str(kernels))


def values_and_gradients(
    layer: nn.LSTM, inputs: Tensor, state: tuple[Tensor, Tensor] | None, fused: bool
) -> list[Tensor]:
    leaves = [part.clone().requires_grad_() for part in (inputs, *(state or ()))]
    start = tuple(leaves[1:]) or None
    if fused:
        assert fused_cells_serve(inputs, layer.weight_hh_l0)
        outputs, (h, c) = run_lstm_layer(project(layer, 0, leaves[0]), layer.weight_hh_l0, start)
    else:
        before = None if start is None else (start[0][None], start[1][None])
        outputs, (h, c) = layer(leaves[0], before)
        h, c = h[0], c[0]
    generator = torch.Generator().manual_seed(1)
    total = sum(
        (part * torch.randn(part.shape, generator=generator).to(part)).sum()
        for part in (outputs, h, c)
    )
    gradients = torch.autograd.grad(total, [*leaves, *layer.parameters()])
    return [outputs, h, c, *gradients]


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("scale", [0.01, 0.7, 3.0])
@pytest.mark.parametrize(
    ("steps", "rows", "width"), [(1, 1, 1), (7, 3, 5), (4, 64, 48), (1, 9, 33), (1, 300, 130)]
)
def test_is_torch_lstm_in_values_and_gradients(
    steps: int, rows: int, width: int, scale: float, with_state: bool
) -> None:
    generator = torch.Generator().manual_seed(steps)
    layer = nn.LSTM(6, width).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=scale, generator=generator)
    inputs = torch.randn(steps, rows, 6, generator=generator, dtype=torch.float64)
    state = (
        tuple(torch.randn(2, rows, width, generator=generator, dtype=torch.float64))
        if with_state
        else None
    )
    truth = values_and_gradients(layer, inputs, state, fused=False)
    narrow = None if state is None else (state[0].float(), state[1].float())
    ours = values_and_gradients(layer.float(), inputs.float(), narrow, fused=True)
    for one, other in zip(ours, truth, strict=True):
        # Where gates saturate, 1 - activation is a rounding error, in PyTorch's float32 as well.
        allowed = (1e-5 if scale < 1 else 1e-3) * float(other.detach().abs().max()) + 1e-6
        torch.testing.assert_close(one.double(), other, rtol=0, atol=allowed)


def test_what_is_not_finite_stays_in_its_place() -> None:
    driven, recurrent = torch.randn(1, 3, 80), torch.zeros(80, 20)
    clean, _ = run_lstm_layer(driven, recurrent)
    driven[0, 1, 5] = float("nan")  # the input gate of one neuron
    spoiled, _ = run_lstm_layer(driven, recurrent)
    assert spoiled[0, 1, 5].isnan()
    spoiled[0, 1, 5] = clean[0, 1, 5]
    assert torch.equal(clean, spoiled)


def test_parts_of_the_gradients_alone_of_any_strides() -> None:
    layer = nn.LSTM(3, 5)
    driven = project(layer, 0, torch.randn(2, 4, 3)).detach()
    given = (driven, layer.weight_hh_l0.detach(), torch.zeros(4, 5), torch.zeros(4, 5))
    for asked in range(4):
        found = []
        for turned in (False, True):
            parts = [part.clone() for part in given]
            leaf = parts[asked].requires_grad_()
            outputs, (_, c) = run_lstm_layer(parts[0], parts[1], (parts[2], parts[3]))
            factor = torch.arange(20.0).view(4, 5)
            total = (c.t() * factor.t()).sum() if turned else (c * factor).sum()
            found += torch.autograd.grad(total, leaf, retain_graph=True)
        assert float(found[0].abs().max()) > 0
        torch.testing.assert_close(found[0], found[1])
        both = torch.autograd.grad(total + outputs.sum(), leaf)[0]
        assert not torch.equal(both, found[1])


def test_what_does_not_belong_together_is_refused() -> None:
    driven, recurrent, h = torch.zeros(2, 4, 20), torch.zeros(20, 5), torch.zeros(4, 5)
    run_lstm_layer(driven, recurrent, (h, h))
    for wrong in (
        (driven, recurrent, (h, torch.zeros(1, 5))),
        (driven, recurrent, (torch.zeros(400, 5), torch.zeros(400, 5))),
        (driven, torch.zeros(20, 4), (h, h)),
        (driven[:, :, :16], recurrent, (h, h)),
        (driven, recurrent, (h, h.double())),
    ):
        with pytest.raises(ValueError, match="must be"):
            run_lstm_layer(*wrong)


def test_does_not_serve_other_kinds_of_numbers() -> None:
    assert fused_cells_serve(torch.zeros(1))
    assert not fused_cells_serve(torch.zeros(1, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused_cells_serve(torch.zeros(1))
