"""What every LSTM does with its gates: Hochreiter, Schmidhuber 1997, with the forget gate of Gers et al. 2000.

The layers that make the gates stay where their weights are. torch's own cells cannot be differentiated under `vmap`.
"""

from torch import Tensor


def next_state(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """The output and the memory of n cells after a step.

    Args:
        gates: [n, 4 units] ahead of their sigmoid or tanh, in PyTorch's order: what to let in, what to keep, what is
            new, what to put out.
        memory: [n, units] before the step.

    Returns:
        [n, units] each.
    """
    let, keep, new, out = gates.chunk(4, -1)
    memory = keep.sigmoid() * memory + let.sigmoid() * new.tanh()
    return out.sigmoid() * memory.tanh(), memory
