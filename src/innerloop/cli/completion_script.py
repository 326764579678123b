"""What can follow what on the command line, read off the dataclasses that verbs parse, and the script that says it."""

import importlib
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import tyro

from innerloop.cli import main, ner, serve
from innerloop.cli.options import options_of
from innerloop.runs.contents import contents

_HEAD = {
    "bash": "# Completion of innerloop in bash.\n",
    "zsh": "#compdef innerloop\n# Completion of innerloop in zsh.\n"
    "type compdef >/dev/null 2>&1 || { autoload -U +X compinit && compinit; }\n"
    "autoload -U +X bashcompinit && bashcompinit\n",
}
_POSITIONAL = tyro.conf.Positional[int].__metadata__[0]  # pyright: ignore[reportAttributeAccessIssue]


class Known(NamedTuple):
    """What can follow a command."""

    words: tuple[str, ...]
    """Names that its first word can be; where none of them fits, the shell offers paths."""
    options: tuple[str, ...]
    """With their dashes."""
    choices: dict[str, tuple[str, ...]]
    """Words that an option takes, where they are known."""


def commands() -> dict[str, Known]:
    """Every command by its words, such as "ner predict" and "train maml"."""
    there = contents()
    learners = tuple(there["learners"])
    sources = tuple(name for name in there["sources"] if ":" not in name)
    named = {"adapt": sources, "data": tuple(there["data"]), "ner adapt": sources, "ner train": learners}
    inside = {"train": learners, "tune": learners, "ner": tuple(ner.VERBS), "serve": tuple(serve.VERBS)}
    found: dict[str, Known] = {}
    for verb in main.VERBS:
        run = importlib.import_module(f"innerloop.cli.{verb}").run
        words = inside.get(verb, ())
        alone = verb == "serve" or not words  # the others do nothing without their second word
        found[verb] = _known(options_of(run, []) if alone else None, there, words or named.get(verb, ()))
        for word in words:
            name = f"{verb} {word}"
            begun = ["maml"] if name == "ner train" else []  # what a learner has decides what may follow
            found[name] = _known(options_of(run, [word, *begun]), there, named.get(name, ()))
    return found


def script(known: dict[str, Known], shell: Literal["bash", "zsh"]) -> str:
    """The script of a shell: zsh runs that of bash by its own bashcompinit."""
    inner: dict[str, list[Known]] = {}
    for name, one in known.items():
        if " " in name:
            inner.setdefault(name.partition(" ")[0], []).append(one)
    # What all commands of a word share stands once: learners have most options in common.
    shared = {verb: set.intersection(*(set(one.options) for one in each)) for verb, each in inner.items()}
    cases = [f"        {verb}\\ *) options={_quoted(sorted(words))} ;;" for verb, words in shared.items()]
    own = []
    for name, one in known.items():
        known_already = shared[name.partition(" ")[0]] if " " in name else ()
        rest = [option for option in one.options if option not in known_already]
        own.append(f'        "{name}") names={_quoted(one.words)}; options="$options {" ".join(rest)}" ;;')
    by_words: dict[tuple[str, ...], list[str]] = {}
    for name, one in known.items():
        for option, words in one.choices.items():
            by_words.setdefault(words, []).append(f'"{name} {option}"')
    chosen = [f"        {'|'.join(places)}) chosen={_quoted(words)} ;;" for words, places in by_words.items()]
    return _HEAD[shell] + _BODY.format(
        verbs=" ".join(main.VERBS),
        two="|".join(inner),
        serves="|serve\\ ".join(serve.VERBS),
        shared="\n".join(cases),
        own="\n".join(own),
        choices="\n".join(chosen),
    )


def _quoted(words: Iterable[str]) -> str:
    return f'"{" ".join(words)}"'


_BODY = r"""_innerloop() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="" key="${{COMP_WORDS[1]}}" at=2
    local names="" options="" chosen=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$word"))
        return
    fi
    before="${{COMP_WORDS[COMP_CWORD-1]}}"
    case "$key" in
        {two}) if [ "$COMP_CWORD" -gt 2 ]; then
            case "$key ${{COMP_WORDS[2]}}" in
                *\ -*) ;;
                serve\ {serves}) key="$key ${{COMP_WORDS[2]}}"; at=3 ;;
                serve\ *) ;;
                *) key="$key ${{COMP_WORDS[2]//-/_}}"; at=3 ;;
            esac
        fi ;;
    esac
    case "$key" in
{shared}
    esac
    case "$key" in
{own}
    esac
    case "$key $before" in
{choices}
    esac
    case "$word" in
        -*) COMPREPLY=($(compgen -W "$options --help" -- "$word")) ;;
        *) if [ -n "$chosen" ]; then COMPREPLY=($(compgen -W "$chosen" -- "$word"))
        elif [ "$COMP_CWORD" -eq "$at" ]; then COMPREPLY=($(compgen -W "$names" -- "$word"))
        fi
        # Paths come from the shell itself, where nothing else fits.
        ;;
    esac
}}
complete -o default -o bashdefault -F _innerloop innerloop
"""


def _known(cls: type | None, there: dict[str, Any], words: tuple[str, ...]) -> Known:
    options, choices, own = dict[str, None](), dict[str, tuple[str, ...]](), words
    for name, hint, positional in _fields(cls):
        taken = _words(hint)
        if positional:
            own = own or taken
            continue
        options |= dict.fromkeys(name)
        if bool in _parts(hint):
            options[f"--no-{name[0][2:]}"] = None
        elif name[0] == "--data":
            taken = tuple(there["data"])
        if taken:
            choices |= dict.fromkeys(name, taken)
    return Known(own, tuple(options), choices)


def _fields(cls: Any) -> Iterator[tuple[list[str], Any, bool]]:
    """Options of a dataclass and those inside it: names, what they take, whether they have no dashes."""
    if not is_dataclass(cls):
        return
    hints = get_type_hints(cls, include_extras=True)
    for one in fields(cls):
        hint, extras = hints[one.name], ()
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
        inner = type(one.default) if is_dataclass(one.default) else hint
        if is_dataclass(inner):
            yield from _fields(inner)
            continue
        names = [f"--{one.name.replace('_', '-')}"]
        names += [alias for extra in extras for alias in getattr(extra, "aliases", None) or ()]
        yield names, hint, _POSITIONAL in extras


def _parts(hint: Any) -> list[Any]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [part for one in get_args(hint) for part in _parts(one)]
    return [hint]


def _words(hint: Any) -> tuple[str, ...]:
    found: list[str] = []
    for part in _parts(hint):
        if get_origin(part) is Literal:
            found += map(str, get_args(part))
        elif get_origin(part) is tuple:
            found += [word for inner in get_args(part) if inner is not Ellipsis for word in _words(inner)]
    return tuple(found)
