"""What a desk is told beside its intents."""

from dataclasses import dataclass

NEAR = 0.29
"""Similarity from which a passage is quoted. Chosen on half of the questions in `docs/guide/support/questions.csv`, so
that one in ten that nothing answers is answered; `python -m benchmarks.desk` has what it does to the other half."""
HAND_OVER = ("A colleague will answer this; please wait a moment.", "这个问题由我的同事来回答，请稍候。")


@dataclass(frozen=True, kw_only=True)
class DeskOptions:
    """What a desk knows beside its intents."""

    replies: str | None = None
    """What is said to an intent: JSON, one object a line, with intent, reply and slots."""
    documents: str | None = None
    """Folder of documents (.md, .txt, .html, .pdf) that are quoted where no reply is."""
    past: str | None = None
    """A table with the columns question and answer: answers given before, which are quoted likewise."""
    near: float = NEAR
    """Similarity, 1.5 for the same sentence, from which a passage is quoted."""
    hand_over: str | None = None
    """What is said where a person takes over, in place of a sentence in English or Chinese."""
