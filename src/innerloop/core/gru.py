"""What every gated recurrent unit does with its gates: Cho et al. 2014, https://arxiv.org/abs/1406.1078.

The candidate reads the state as PyTorch's does. The layers that make the gates stay where their weights are;
torch's own cells cannot be differentiated under `vmap`.
"""

from torch import Tensor


def next_state(new: Tensor, old: Tensor, state: Tensor) -> Tensor:
    """[n, units] the state of n cells after a step.

    Args:
        new: [n, 3 units] what a layer makes of the inputs, ahead of sigmoid or tanh, in PyTorch's order: how much of
            the state is read, how much of it stays, what is new.
        old: [n, 3 units] what another makes of the state, likewise.
        state: [n, units] before the step.
    """
    (read, keep, candidate), (read_old, keep_old, candidate_old) = new.chunk(3, -1), old.chunk(3, -1)
    stays = (keep + keep_old).sigmoid()
    proposed = (candidate + (read + read_old).sigmoid() * candidate_old).tanh()
    return (1 - stays) * proposed + stays * state
