"""gyyang/multitask, ``LeakyRNN``: a checkpoint of TensorFlow, and ``hp.json`` beside it."""

from wsrl.rnn.formats.content import Candidate, Content, Recogniser, Said
from wsrl.rnn.formats.leaky_units import OPTIONS, LeakyUnits, alphas_of
from wsrl.rnn.formats.names import TENSORS_BY_NAME, check_known
from wsrl.rnn.formats.parts import Parts

_KERNEL, _BIAS = (f"rnn/leaky_rnn_cell/{part}" for part in ("kernel", "bias"))
_OUT, _OUT_BIAS = "output/weights", "output/biases"
_FINAL = {"lsq": "sigmoid", "cross_entropy": "softmax"}


def _find(content: Content, said: Said) -> list[Candidate] | str:
    """Read the kernel, whose first rows are the inputs', the others the neurons'."""
    used = (_KERNEL, _BIAS, _OUT, _OUT_BIAS)
    if missing := [name for name in used if name not in content.tensors]:
        return f"no LeakyRNN of multitask: no {', '.join(missing)}"
    slots = [name for name in content.tensors if name.endswith(("/Adam", "/Adam_1", "_power"))]
    check_known(content.tensors, {*used, *slots, "global_step"})
    kernel, bias, output, out_bias = (content.tensors[name] for name in used)
    facts, size = content.settings, kernel.shape[1]
    loss = facts.get("loss_type")
    units = LeakyUnits(
        Parts(
            "leaky",
            [{"weight_ih": kernel[:-size].mT, "weight_hh": kernel[-size:].mT, "bias": bias}],
            [(output.mT, out_bias)],
            output_activation=_FINAL.get(str(loss), "none"),
        ),
        form="rate",
        nonlinearity=facts.get("activation"),
        alpha=alphas_of(facts["alpha"]) if "alpha" in facts else None,
        assumed=(f"loss_type {loss}: outputs end in {_FINAL.get(str(loss), 'no nonlinearity')}",),
    )
    return units.candidates(said)


MULTITASK = Recogniser("gyyang/multitask", TENSORS_BY_NAME | {"tensorflow"}, OPTIONS, _find)
