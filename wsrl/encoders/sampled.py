"""Sampling: let the RNN generate sequences, and read them with what it says of them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsrl.encoders.free_running import FreeRunningProbing
from wsrl.encoders.reader import ReaderOptions
from wsrl.encoders.registry import register_encoder


@register_encoder
class SampledProbing(FreeRunningProbing):
    """Lets every RNN generate: it gets tokens that are drawn from its own answers, one by one.

    ``FreeRunningProbing`` feeds the mixture of all tokens back, which an RNN never saw in training;
    here it reads tokens, as there. They are drawn from what the echo and the learned pushes make of
    its last answer. The gradient passes the draw as if there were none (straight through). The
    first inputs are learned. As answers do not tell what was drawn, the reader sees both. Answers
    about the tokens that can be drawn it sees as probabilities, in logarithms from 1% up: what
    else is in them, how improbable the improbable is, serves to know RNNs by heart.

    In training every call draws anew. In evaluation the uniform numbers behind the draws are those
    that the encoder was made with: the same for all RNNs, others for every step and probing
    sequence, spread evenly over the sequences. So the embedding jumps where a weight changes a
    draw, and two ways to compute one RNN may embed it differently where an answer is within
    rounding of a number. One sequence may miss what tells RNNs apart: take four.

    Probing inputs that are not tokens (``input_activation`` other than ``softmax``) are not drawn.

    Options as of ``ProbingEncoder``.
    """

    uniforms: Tensor

    def _prepare(self, probe_width: int, reader: ReaderOptions) -> None:
        super()._prepare(probe_width, reader)
        self.from_inputs = nn.Linear(self.num_probes * self.spec.input_size, reader.width)
        ranks = torch.stack([torch.randperm(self.num_probes) for _ in range(self.probing_length)])
        uniforms = (ranks + torch.rand(ranks.shape)) / self.num_probes
        self.register_buffer("uniforms", uniforms)  # (T, P)

    def _choose(self, inputs: Tensor, step: int) -> Tensor:
        if step == 0 or self.input_activation != "softmax":
            return inputs
        numbers = torch.rand_like(inputs[..., 0]) if self.training else self.uniforms[step]
        below = inputs.detach().cumsum(-1) < numbers[..., None]
        tokens = below.sum(-1).clamp(max=inputs.shape[-1] - 1)
        drawn = F.one_hot(tokens, inputs.shape[-1]).to(inputs)
        return drawn + (inputs - inputs.detach())

    def _embed_steps(self, inputs: Tensor, answers: Tensor) -> Tensor:
        asked = self.from_inputs(self.dropout(inputs.flatten(-2)))
        if self.spec.output_size == self.spec.input_size and self.input_activation == "softmax":
            answers = (answers.softmax(-1) + 0.01).log() / 2 + 1  # about -1 to 1
        answered = self.from_answers(self.dropout(answers.flatten(-2)))
        return torch.tanh(asked + answered)
