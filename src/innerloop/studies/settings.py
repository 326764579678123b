"""What can be asked of a study."""

from dataclasses import dataclass

from innerloop.core.ranges import Checked, Count, Natural
from innerloop.studies.pruning import Pruner


@dataclass(frozen=True, kw_only=True)
class StudyOptions(Checked):
    """How hyper-parameters are searched."""

    trials: Count = 50
    """How many, in all: asked again, a study goes on until there are as many."""
    space: str | None = None
    """What is searched, and nothing else: inner_lr=0.01:1:log,width=32|64,meta_lr, where a name alone has the range
    that its field declares; or package.module:function of yours, which takes a trial of Optuna and returns values by
    the names of options. None: every range that a field declares, but for options that you set."""
    pruner: Pruner = "wilcoxon"
    """Which trials end early. wilcoxon: worse than the best on the same validation tasks at the same step. median:
    worse than half of the others there. hyperband: not among the best third at a ninth, then a third, of the budget."""
    workers: Count = 1
    """Processes that train trials, each on its share of the cores."""
    seeds: Natural = 5
    """Seeds that the winner is trained again with, before it is meta-tested once. 0: not yet; ask again for it."""
    storage: str | None = None
    """Address of a database for several machines, such as postgresql://user@host/studies; None: a file in the study's
    folder."""
    name: str | None = None
    """What the study is called in a storage that holds several; None: as its folder."""
