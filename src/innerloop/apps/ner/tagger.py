"""`FewShotTagger`: entities in sentences from a handful of tagged ones, in the manner of scikit-learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from innerloop.apps.ner import file
from innerloop.apps.ner.answering import Tagged, answers
from innerloop.apps.ner.examples import tagged, untagged
from innerloop.apps.ner.settings import USUAL, Decode, Decoding, Head, Tagging, Transitions, checked
from innerloop.apps.ner.sources import Source, source
from innerloop.apps.ner.task import Task, teach
from innerloop.core.context import Context, prefixes
from innerloop.encoders.whitening import Whitening
from innerloop.fewshot import paths
from innerloop.fewshot.history import Version
from innerloop.fewshot.versioned import Versioned
from innerloop.tasks.entities.sentences import Sentence


class FewShotTagger(Versioned[Task]):
    """Finds entities in sentences, of types that a few tagged sentences show.

    It may be asked by many threads at once; what changes it is for one at a time.
    """

    def __init__(
        self,
        source: str | Path | Source | None = None,
        *,
        head: Head | None = None,
        decode: Decode = "viterbi",
        tagging: Tagging = "io",
        whiten: Whitening | bool = False,
        names: bool = False,
        transitions: Transitions | None = None,
        tau: float | None = None,
        temperature: float | None = None,
        allow: Sequence[str] = (),
    ):
        """Nothing is read before it is needed; `load` reads at once.

        Args:
            source: An encoder of words such as `minilm:3`, the shipped run `entities`, or the folder of a run that was
                trained on entities. None: `entities`, or `minilm:3` where a head or whitening is asked for.
            head: What tells types apart by the rows of an encoder: prototypes (a type is as near as the mean of its
                words) or nearest (as its nearest word). None: prototypes.
            decode: viterbi: the most probable sentence as a whole. argmax: every word by itself.
            tagging: io: entities of one type side by side are one. bio: transitions may tell them apart.
            whiten: How rows are whitened, as fitted on other domains (`encoders.whitening`). True: on CrossNER, which
                has to be at hand; with Viterbi decoding it does not help. False: they are not.
            names: Whether the name of a type is an example of it, too.
            transitions: How types follow each other, as `apps.ner.decode.counted` counts them; None: as in CrossNER.
            tau: Power of their probabilities; None: as chosen on CrossNER for this source.
            temperature: What logits are divided by; None: likewise.
            allow: Module prefixes besides `innerloop.` that a run may name; importing them runs their code.
        """
        self.source = source
        self.head: Head | None = head
        self.decode: Decode = decode
        self.tagging: Tagging = tagging
        self.whiten = whiten
        self.names = names
        self.transitions = transitions
        self.tau = tau
        self.temperature = temperature
        self.allow = allow

    @classmethod
    def load(cls, path: str | Path, allow: Sequence[str] = ()) -> "FewShotTagger":
        """A tagger that was saved, ready to `predict` and to `add`.

        Args:
            path: A `.fewshot` file of `save` or `innerloop ner adapt`.
            allow: Module prefixes besides `innerloop.` that it may name; importing what a file names runs code.

        Raises:
            InputError: It is missing, damaged, of another kind or version, or names foreign classes.
        """
        path = paths.named(path)
        seen = paths.seen(path)  # before it is read: what changes meanwhile is noticed when it is saved
        tagger = cls.holding(file.read(path, allow))
        tagger.allow = allow
        tagger._read_from = seen
        return tagger

    @classmethod
    def holding(cls, task: Task) -> "FewShotTagger":
        """A tagger of what was taught."""
        own, decoding = task.source, task.decoding
        tagger = cls(
            own,
            head=own.head,
            decode=decoding.decode,
            tagging=decoding.tagging,
            whiten=own.whitening or False,
            names=own.names,
            transitions=decoding.transitions,
            tau=decoding.tau,
            temperature=decoding.temperature,
        )
        tagger._task = task
        return tagger

    def fit(self, sentences: Any, tags: Any = None) -> "FewShotTagger":
        """Learn types of entities from tagged sentences. Forgets what it knew before.

        Args:
            sentences: Lists of words; texts, which are cut into words (`tasks.entities.words`); or `Sentence` with
                their entities, such as files are read to.
            tags: A list for each, one tag a word: BIO, BIOES, BILOU, BMES or IO, `O` for none; None: the entities of
                `Sentence`.

        Raises:
            InputError: Sentences and tags that do not fit, no entity at all, or more types than a run tells apart.
        """
        given, source = tagged(sentences, tags), self._resolved()
        self._task = teach(source, self._decoding(source), given)
        return self

    def add(self, sentences: Any, tags: Any = None) -> "FewShotTagger":
        """Learn from more sentences, of known types or new ones; `fit` if they are the first.

        A sentence of the same words as a known one takes its place, so that corrections are examples.

        Raises:
            InputError: As `fit`; nothing is changed then.
        """
        task = self.__dict__.get("_task")
        if task is None:
            return self.fit(sentences, tags)
        self._task = task.more(tagged(sentences, tags))
        return self

    def drop(self, what: str | int) -> "FewShotTagger":
        """Forget a type, whose words belong to none from then on, or a sentence, by its number in `sentences_`.

        Raises:
            InputError: There is none, or no entity would be left; nothing is changed then.
        """
        self._task = self._fitted().without(what)
        return self

    def predict(self, sentences: Any) -> list[list[str]]:
        """A list of BIO tags for each sentence, one tag a word; sentences as of `fit`, without tags."""
        return [answer.tags for answer in self.answers(sentences)]

    def answers(self, sentences: Any) -> list[Tagged]:
        """What is found in each sentence: its words, entities and their confidences, see `apps.ner.answering`."""
        return answers(self._fitted(), untagged(sentences))

    def tag(self, text: str) -> dict[str, Any]:
        """What is found in a text, in plain JSON: words, tags, and entities by characters, each with a confidence."""
        return self.answers([text])[0].to_json()

    def _write(self, path: Path, task: Task) -> None:
        file.write(path, task)

    def show(self) -> dict[str, Any]:
        """What it is and knows, in plain JSON: source, types with their number of entities, and versions."""
        return self._fitted().show()

    @property
    def task(self) -> Task:
        """What was taught, after `fit`: it is never changed, only replaced."""
        return self._fitted()

    @property
    def types_(self) -> list[str]:
        """Types of entities in sorted order, after `fit`."""
        return list(self._fitted().types)

    @property
    def sentences_(self) -> dict[int, Sentence]:
        """Sentences of the present version with their entities, by their number, after `fit`."""
        return self._fitted().present

    @property
    def history(self) -> tuple[Version, ...]:
        """Every version; the last is the present one."""
        return self._fitted().history.versions

    def _resolved(self) -> Source:
        return source(
            self.source,
            head=self.head,
            whiten=self.whiten,
            names=self.names,
            context=Context(allow=prefixes(self.allow)),
        )

    def _decoding(self, source: Source) -> Decoding:
        tau, temperature = USUAL[source.head]
        given = {"transitions": self.transitions, "tau": self.tau, "temperature": self.temperature}
        known = {"tau": tau, "temperature": temperature} | {k: v for k, v in given.items() if v is not None}
        return checked(Decoding(decode=self.decode, tagging=self.tagging)._replace(**known))
