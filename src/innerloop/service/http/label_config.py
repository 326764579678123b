"""Labelling configurations of Label Studio: which tag is answered, about which value of a task, with which labels."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from innerloop.service.http.errors import HTTPError

_LONGEST = 200_000
_DECLARED = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_OBJECTS = {"Text": "texts", "HyperText": "texts", "Image": "pictures", "Audio": "sounds", "AudioPlus": "sounds"}
_CONTROLS = {"tasks": ("Choices", "Choice"), "taggers": ("Labels", "Label")}


@dataclass(frozen=True, kw_only=True)
class Control:
    """What a person fills in, and a task answers."""

    name: str
    about: str
    """Name of the tag that shows the example."""
    kind: str
    """What the example is: texts, pictures or sounds."""
    value: str
    """The value of a task that holds it."""
    labels: tuple[str, ...]
    """What may be chosen; none: it depends on the task."""
    written: str
    """How results call it: choices or labels."""


def control(config: str, of: str, kind: str) -> Control:
    """The tag that a task or a tagger answers.

    Args:
        config: XML, as a project has it.
        of: tasks, for one class of an example; taggers, for spans of a text.
        kind: Of the examples of the task.

    Raises:
        HTTPError: It is no such XML, or has no such tag.
    """
    tag, label = _CONTROLS[of]
    root = _parsed(config)
    shown = {one.get("name", ""): one for one in root.iter() if one.tag in _OBJECTS and one.get("name")}
    for one in root.iter(tag):
        about = shown.get((one.get("toName") or "").split(",")[0])
        if about is None or _OBJECTS[about.tag] != kind or not one.get("name"):
            continue
        if of == "tasks" and one.get("choice", "single") != "single":
            raise HTTPError(
                422, f"<{tag} name='{one.get('name')}'> takes several choices: a task answers one, choice='single'"
            )
        value = about.get("value", "")
        if not re.fullmatch(r"\$[\w.-]{1,100}", value):
            raise HTTPError(422, f"<{about.tag}> shows '{value[:50]}': it must be one value of a task, such as $text")
        labels = tuple(each.get("value", "") for each in one.iter(label) if each.get("value"))
        return Control(
            name=one.get("name", ""),
            about=about.get("name", ""),
            kind=kind,
            value=value[1:],
            labels=labels,
            written=tag.lower(),
        )
    objects = " or ".join(f"<{name}>" for name, shows in _OBJECTS.items() if shows == kind) or "any tag"
    raise HTTPError(422, f"the labelling configuration has no <{tag}> about {objects}, which {kind} need: add one")


def _parsed(config: str) -> ElementTree.Element:
    if len(config) > _LONGEST:
        raise HTTPError(422, f"the labelling configuration has {len(config):,} characters, and {_LONGEST:,} is most")
    if _DECLARED.search(config):  # what is declared there can unfold without end
        raise HTTPError(422, "the labelling configuration declares a document type or entities: leave them out")
    try:
        return ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as error:
        raise HTTPError(422, f"the labelling configuration is not XML ({error}): send it as it is") from error
