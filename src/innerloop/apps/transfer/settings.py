"""What can be asked of a transfer."""

from dataclasses import dataclass
from typing import Literal

from innerloop.core.ranges import Checked, Count, Natural, Positive


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """How a transfer is trained and measured; nothing of it is chosen on the target."""

    shots: tuple[Count, ...] = (1, 5, 20)
    """Labels a class of the target; a table for each."""
    queries: Count = 10
    """Unlabelled examples of every class that are asked in a task."""
    episodes: Count = 15
    """Tasks drawn from the target, the same for every row and seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of trainings on the source, each anew."""
    steps: Natural = 300
    """Meta-steps, or steps of pre-training."""
    batch_size: Count = 64
    """Examples a step of pre-training."""
    size: Count = 32
    """Height and width that pictures of both are brought to, in three channels."""
    width: Count = 32
    """Channels of the network, a Conv-4."""
    pool: Literal["stride", "max"] = "stride"
    """How the network shrinks pictures: strides and a mean over space, or max-pools, at four times the cost."""
    adaptation_steps: Count = 40
    """Steps of Adam on the target's labels, from scratch and where all weights are fine-tuned."""
    adaptation_lr: Positive = 1e-2
    """Rate of these steps: of 1e-3, 3e-3 and 1e-2, each with 40 and 100 steps, the best from scratch on `mnist-5k`."""
