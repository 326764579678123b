"""What a learner says of the networks in its fields: the role of each, from which a default one is made.

    head: Model = field(metadata=role(Rows(FEATURES, OUTPUTS)))

The learner knows no architecture, and whoever makes the network (`problems.networks`) knows no learner. Fields named
`model` and `encoder` have their role by the contract.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from innerloop.core.errors import InputError
from innerloop.core.learner import Learner
from innerloop.core.model import Model

_KEY = "innerloop.role"


@dataclass(frozen=True)
class Size:
    """A length that is known once the data and the learner's other networks are."""

    network: str | None
    """The field whose network's features are counted; None: the outputs of the problem, such as a logit a class."""
    times: int = 1

    def __rmul__(self, times: int) -> "Size":
        return Size(self.network, times * self.times)


@dataclass(frozen=True)
class Inputs:
    """The numbers of one example, whatever its shape."""


@dataclass(frozen=True)
class Setting:
    """The value of a plain field of the learner, such as the length of a latent."""

    field: str


Length = int | Size | Inputs
FEATURES = Size("encoder")
"""Features of the encoder; `Size("other")` are those of the network in another field, `2 * FEATURES` twice as many. A
network that the learner's settings have no use for has none."""
OUTPUTS = Size(None)
"""Classes of a task, or of all of meta-training for learners that are trained on batches of them; targets."""
INPUTS = Inputs()


@dataclass(frozen=True)
class Role:
    """What a network is for. One role is one signature of the network."""

    when: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    """Fields of the learner and the value that each must have for the network to be needed."""
    unless: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    """Fields of the learner and a value with which the network is not needed."""

    def needed(self, values: Mapping[str, Any]) -> bool:
        """Whether a learner with these values of its fields has use for the network."""
        wanted = all(values[k] == v for k, v in self.when.items())
        return wanted and not any(values[k] == v for k, v in self.unless.items())


@dataclass(frozen=True)
class Whole(Role):
    """x -> outputs of the problem, [n, outputs]."""

    alone: bool = False
    """Whether every row is seen by itself, without batch norms."""


@dataclass(frozen=True)
class Encoder(Role):
    """x -> features [n, d], or feature maps [n, c, height, width] where `maps` and the network can keep them."""

    maps: bool = False
    alone: bool = False
    """As of `Whole`."""


@dataclass(frozen=True)
class Parts(Role):
    """x of several parts, a dict -> rows [n, d]. None is made by default: whoever has such data gives it."""

    def needed(self, values: Mapping[str, Any]) -> bool:
        return False


@dataclass(frozen=True)
class Rows(Role):
    """[n, inputs] -> [n, outputs]: one linear layer, or more with units between."""

    inputs: Length | Setting | tuple[Length, ...]
    """Several: side by side."""
    outputs: Length | tuple[Length, ...]
    hidden: tuple[Length, ...] = ()
    activation: Literal["relu", "tanh", "elu"] = "relu"


@dataclass(frozen=True)
class Pairs(Role):
    """Features of two examples, [n, 2 d] or [n, 2 c, height, width] -> [n, 1]."""

    encoder: str = "encoder"
    """The field whose features are compared."""


@dataclass(frozen=True)
class Labelled(Role):
    """`{"x": [n, ...], "y": [n, outputs]}`, examples with their targets -> [n, length], every example by itself."""

    length: int | Setting


@dataclass(frozen=True)
class Sequence(Role):
    """`{"x": [n, features], "rows": [n] bool}`, read as one sequence, -> [n, features]."""

    features: Length


@dataclass(frozen=True)
class Cell(Role):
    """`{"x": [n, inputs], "h": [n, units], "c": [n, units]}` -> [n, 2 units], the next h and c."""

    inputs: Length
    units: Length


@dataclass(frozen=True)
class Recurrent(Role):
    """`{"x": [n, inputs], "h": [n, units]}` -> [n, units], the next h."""

    units: int | Setting


@dataclass(frozen=True)
class Dynamics(Role):
    """[n, observation and action] -> [n, change of the observation], both scaled: a model of an environment."""


@dataclass(frozen=True)
class Features(Role):
    """x -> features of every row by itself: maps [n, d, height, width] of pictures, else [n, d]."""


@dataclass(frozen=True)
class ClassCode(Role):
    """Mean features of each class -> means of a normal code of `length`, and logarithms of its variances after them.

    [k, 2 length], or maps [k, 2 length, height, width] where `map` and the features have a place.
    """

    length: int | Setting
    map: bool | Setting = False
    encoder: str = "encoder"
    """The field whose features are read, here and in the next two."""


@dataclass(frozen=True)
class Latent(Role):
    """What one example is beside its class -> [n, 2 length], means and logarithms of variances as of `ClassCode`.

    Of a dict: `features` of the example, the `code` of its class, and where `anchored` the `anchor`, features of
    another example of that class.
    """

    length: int | Setting
    code: int | Setting
    map: bool | Setting = False
    anchored: bool | Setting = False
    encoder: str = "encoder"


@dataclass(frozen=True)
class Decoder(Role):
    """An example from what is known of it -> [n, ...], as x: its mean, or logits where the `likelihood` is bernoulli.

    Of a dict: the `code` of its class, its `latent`, and where `anchored` another `example` of the class, blank where
    there is none, and that one's `features`.
    """

    latent: int | Setting
    code: int | Setting
    likelihood: str | Setting
    map: bool | Setting = False
    anchored: bool | Setting = False
    encoder: str = "encoder"


@dataclass(frozen=True)
class Painter(Role):
    """`{"latent": [n, latent]}` -> [n, ...], as x."""

    latent: int | Setting


@dataclass(frozen=True)
class Critic(Role):
    """x -> [n, 1], every row by itself, and smooth enough that its slope in x has a derivative."""


_BY_CONTRACT: Mapping[str, Role] = {"model": Whole(), "encoder": Encoder()}


def role(of: Role) -> Mapping[str, Role]:
    """The metadata of a field that holds a network of this role."""
    return MappingProxyType({_KEY: of})


def settled(of: Role, values: Mapping[str, Any]) -> Any:
    """The role with the learner's values in the place of every `Setting`."""
    settings = {k: v for k, v in vars(of).items() if isinstance(v, Setting)}
    return replace(of, **{k: values[v.field] for k, v in settings.items()})


def network_fields(cls: type[Learner]) -> dict[str, Field[Any]]:
    """The fields of a learner that hold a network, or None instead."""
    hints = get_type_hints(cls)
    return {f.name: f for f in fields(cls) if any(_is_network(k) for k in _kinds(hints[f.name]))}


def roles(cls: type[Learner]) -> dict[str, Role]:
    """The role of every network of a learner, by its field.

    Raises:
        InputError: A field does not say what its network is for and has no network of its own, or says it of what is
            no field.
    """
    result, names = {}, {f.name for f in fields(cls)}
    for name, f in network_fields(cls).items():
        own = f.metadata.get(_KEY, _BY_CONTRACT.get(name))
        if own is None:
            if isinstance(f.default, Model) or f.default_factory is not MISSING:
                continue
            known = ", ".join(kind.__name__ for kind in Role.__subclasses__())
            raise InputError(
                f"{cls.__name__} does not say what its network '{name}' is for: declare it by "
                f"field(metadata=role(...)) of core.networks, with one of {known}"
            )
        if strange := sorted({*own.when, *own.unless} - names):
            raise InputError(f"{cls.__name__}.{name} depends on '{strange[0]}', which is no field of it")
        result[name] = own
    return result


def counts_outputs(cls: type[Learner]) -> bool:
    """Whether a learner learns a network with an output for each class, so that their number cannot change."""
    usual = {f.name: f.default for f in fields(cls)}
    needed = [r for r in roles(cls).values() if r.needed(usual)]  # not what values alone have use for
    return any(isinstance(r, Whole) or any(map(_of_outputs, vars(r).values())) for r in needed)


def _of_outputs(length: Any) -> bool:
    if isinstance(length, tuple):
        return any(map(_of_outputs, length))
    return isinstance(length, Size) and length.network is None


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_network(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Model)
