"""The interface of learn2learn 0.2.0, in pure Python: `import innerloop.compat.learn2learn as l2l`.

Names, arguments, draws from Python's `random` and parameter names are those of learn2learn (Arnold et al. 2020,
https://arxiv.org/abs/2008.12284, MIT), so that its programs run with their imports changed and give the same losses,
and its state dicts load here as ours do there. `params_of` and `load_params` are ours: they lead on to
`innerloop.meta_train`.
"""

from typing import Any

from innerloop.compat.learn2learn import algorithms, data, nn, utils, vision
from innerloop.compat.learn2learn.absent import absent, say_what_is_absent
from innerloop.compat.learn2learn.onwards import load_params, params_of
from innerloop.compat.learn2learn.utils import (
    clone_module,
    clone_named_parameters,
    clone_parameters,
    detach_module,
    magic_box,
    update_module,
)

__all__ = [
    "algorithms",
    "clone_module",
    "clone_named_parameters",
    "clone_parameters",
    "data",
    "detach_module",
    "load_params",
    "magic_box",
    "nn",
    "params_of",
    "update_module",
    "utils",
    "vision",
]

say_what_is_absent()


def __getattr__(name: str) -> Any:
    raise absent("", name, __all__)
