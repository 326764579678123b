"""What a support desk says to a message: a reply, a question back, a quoted passage, or that a person takes over."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from innerloop.apps.text.desk.passages import Passage
from innerloop.apps.text.desk.replies import Replies, Reply, Slot, in_script, script_of
from innerloop.apps.text.desk.search import Hit, Index
from innerloop.apps.text.desk.settings import HAND_OVER, NEAR
from innerloop.fewshot.answers import Answer

_TRIES = 2
"""How often a slot is asked for before a person takes over."""
Kind = Literal["reply", "question", "passage", "hand-over"]


@dataclass(frozen=True, kw_only=True)
class State:
    """What a conversation has come to."""

    intent: str | None = None
    """The last one that was named with certainty."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What messages said of its slots."""
    asked: str | None = None
    """The slot that was asked for last."""
    tries: int = 0
    """How often it was."""
    script: str | None = None
    """What the last message with letters was written in: the answer to "20418" is in it too."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is said to a message, and why."""

    kind: Kind
    text: str
    intent: str | None = None
    """What the message was taken for; None: no intent is near enough."""
    probability: float | None = None
    """The intent's; None where the message goes on with what was talked about."""
    slot: str | None = None
    """What a question asks for."""
    source: str | None = None
    """Where a passage stands."""
    similarity: float | None = None
    """How near a passage is."""
    rule: str | None = None
    """Words of the message that decided for the intent, whatever the task takes it for."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a desk makes of a message, whatever was said before it."""

    answer: Answer
    """What the task takes it for."""
    script: str | None
    """What it is written in."""
    ruled: tuple[str, str] | None
    """The first intent whose words are in it, and these; None: there is none."""
    values: Mapping[str, Mapping[str, str]]
    """What it says of the slots of every intent."""
    hit: Hit | None
    """The passage to quote; None: none is near enough, or there is a reply."""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a support desk knows beside its intents."""

    replies: Replies = field(default_factory=dict)
    """What is said to an intent."""
    passages: Sequence[Passage] = ()
    """What is quoted where no reply is, of documents and of answers given before."""
    index: Index | None = None
    """What searches the passages; None: there are none."""
    near: float = NEAR
    """Similarity from which a passage is quoted."""
    hand_over: tuple[str, ...] = HAND_OVER
    """What is said where a person takes over, in one language or more."""

    def hear(self, message: str, answer: Answer, row: Tensor) -> Heard:
        """What a message says.

        Apart from `respond`: expressions and many passages take long, and the state of a conversation may be held then.

        Args:
            message: What was said.
            answer: What the task takes it for.
            row: [features] what the encoder makes of it.
        """
        each = ((intent, reply.rule.find(message)) for intent, reply in self.replies.items() if reply.rule is not None)
        ruled = next(((intent, words) for intent, words in each if words is not None), None)
        values = {intent: _values(reply, message) for intent, reply in self.replies.items() if reply.slots}
        replied = ruled is not None or (answer.accepted and str(answer.label) in self.replies)
        hit = None if replied else self._nearest(message, row)
        return Heard(answer=answer, script=script_of(message), ruled=ruled, values=values, hit=hit)

    def respond(self, state: State, heard: Heard) -> tuple[State, Turn]:
        """What is said to a message.

        Words that decide for an intent come first. A message that fills the slot which was asked for, or a slot of the
        intent that is talked about, goes on with that intent where no other is certain.

        Args:
            state: What the conversation has come to.
            heard: What `hear` makes of the message.

        Returns:
            What the conversation has come to now, and what is said.
        """
        answer = heard.answer
        intent = str(answer.label) if answer.accepted else None
        state = replace(state, script=heard.script or state.script)
        if heard.ruled is not None:
            intent, words = heard.ruled
            known = state if state.intent == intent else State(intent=intent, script=state.script)
            now, turn = self._reply(known, intent, heard)
            return now, replace(turn, rule=words, probability=None)
        if state.intent is not None and self._goes_on(state, intent, heard):
            return self._reply(state, state.intent, heard)
        if intent is not None and intent in self.replies:
            known = state if state.intent == intent else State(intent=intent, script=state.script)
            return self._reply(known, intent, heard)
        now = State(intent=intent, script=state.script)
        return now, self._handed_over(now, answer) if heard.hit is None else self._quoted(heard.hit, intent, answer)

    def _nearest(self, message: str, row: Tensor) -> Hit | None:
        if self.index is None:
            return None
        (hit,) = self.index.search(message, row, 1)
        return hit if hit.similarity >= self.near else None

    def _goes_on(self, state: State, intent: str | None, heard: Heard) -> bool:
        if state.intent is None or state.intent not in self.replies:
            return False
        values = heard.values.get(state.intent, {})
        if intent not in (None, state.intent):
            # Certain of another intent; but an answer to what was asked is one, whatever it sounds like.
            return state.asked in values
        return state.asked is not None or bool(values)

    def _reply(self, state: State, intent: str, heard: Heard) -> tuple[State, Turn]:
        answer = heard.answer
        reply: Reply = self.replies[intent]
        if not reply.texts:
            gone = State(intent=intent, script=state.script)
            return gone, self._handed_over(gone, answer, reply.hand_over)
        values = {**state.values, **heard.values.get(intent, {})}
        missing: Slot | None = next((slot for slot in reply.slots if slot.name not in values), None)
        about: dict[str, Any] = {"intent": intent, "probability": _probability(intent, answer)}
        now = State(intent=intent, values=values, script=state.script)
        if missing is None:
            return now, Turn(kind="reply", text=reply.filled(values, now.script), **about)
        tries = state.tries + 1 if state.asked == missing.name else 1
        if tries > _TRIES:
            return now, self._handed_over(now, answer)
        text = in_script(missing.ask, now.script)
        asking = replace(now, asked=missing.name, tries=tries)
        return asking, Turn(kind="question", text=text, slot=missing.name, **about)

    def _quoted(self, hit: Hit, intent: str | None, answer: Answer) -> Turn:
        passage = self.passages[hit.place]
        return Turn(
            kind="passage",
            text=passage.text,
            intent=intent,
            probability=_probability(intent, answer),
            source=passage.place,
            similarity=hit.similarity,
        )

    def _handed_over(self, now: State, answer: Answer, said: Sequence[str] = ()) -> Turn:
        text = in_script(said or self.hand_over, now.script)
        return Turn(kind="hand-over", text=text, intent=now.intent, probability=_probability(now.intent, answer))


def _values(reply: Reply, message: str) -> dict[str, str]:
    """Slots of a reply that a message fills."""
    return {slot.name: value for slot in reply.slots if (value := slot.find(message)) is not None}


def _probability(intent: str | None, answer: Answer) -> float | None:
    """None where the conversation, not the message, says what the intent is."""
    if intent is None or not answer.accepted or intent != str(answer.label):
        return None
    return answer.probabilities[intent]
