import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerloop.core.errors import InputError
from innerloop.fewshot.history import History


def taught() -> History:
    return History.begin([("cat", 0, 2), ("dog", 2, 3)])


def test_members_follow_what_was_added_and_dropped():
    history = taught().add([("ant", 5, 1), ("cat", 6, 1)]).drop("dog")
    assert history.members() == {"ant": [5], "cat": [0, 1, 6]} and list(history.members()) == ["ant", "cat"]
    assert history.examples(2) == {"ant": 1, "cat": 3, "dog": 3} and history.examples(1) == {"cat": 2, "dog": 3}
    assert [v.action for v in history.versions] == ["fit", "add ant, cat", "drop dog"]
    again = history.add([("dog", 7, 1)])
    assert again.examples()["dog"] == 1, "a dropped class begins anew"
    assert taught().add([(name, 5, 1) for name in "abcde"]).present.action == "add a, b, c and 2 more"


def test_undo_walks_back_redo_walks_forward_and_a_change_ends_that():
    one = taught()
    two = one.add([("cat", 5, 1)])
    three = two.drop("dog")
    states = [one.members(), two.members(), three.members()]
    back = three.undone()
    assert back.members() == states[1] and back.undone().members() == states[0]
    with pytest.raises(InputError, match="nothing to undo"):
        back.undone().undone()
    forth = back.undone().redone()
    assert forth.members() == states[1] and forth.redone().members() == states[2]
    assert forth.redone().undone().members() == states[1], "a redo can be undone"
    with pytest.raises(InputError, match="nothing to redo"):
        forth.redone().redone()
    changed = back.add([("eel", 6, 1)])
    with pytest.raises(InputError, match="nothing to redo"):
        changed.redone()
    assert changed.undone().members() == states[1]
    assert changed.back_to(3).members() == states[2] and changed.back_to(3).undone().members() == changed.members()
    assert [v.version for v in changed.back_to(3).versions] == [1, 2, 3, 4, 5, 6]


def test_what_is_not_there():
    with pytest.raises(InputError, match="no class 'eel' to drop: the classes are cat, dog"):
        taught().drop("eel")
    for version in (0, 2, -1):
        with pytest.raises(InputError, match="there are 1 to 1"):
            taught().back_to(version)


@given(st.lists(st.sampled_from(["add", "drop", "undo", "redo", "back"]), max_size=12), st.data())
def test_nothing_is_ever_lost(actions, data):
    """Whatever is done, every version that there was has the members that it had, also after a file."""
    history, rows, seen = taught(), 5, []
    for action in actions:
        seen.append(history.members())
        try:
            if action == "add":
                history, rows = history.add([(data.draw(st.sampled_from("abc")), rows, 2)]), rows + 2
            elif action == "drop":
                history = history.drop(data.draw(st.sampled_from(sorted(history.members(), key=str))))
            elif action == "back":
                history = history.back_to(data.draw(st.integers(1, len(history.versions))))
            else:
                history = history.undone() if action == "undo" else history.redone()
        except (InputError, IndexError):
            seen.pop()
        if not history.members():
            return
    seen.append(history.members())
    again = History.from_json(json.loads(json.dumps(history.to_json())), rows)
    assert again == history
    assert [again.members(i + 1) for i in range(len(again.versions))] == seen


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"base": 1},
        {"base": True},
        {"undo": 1},
        {"redo": [1]},
        {"added": []},
        {"added": [["cat", 0, 6]]},
        {"added": [["cat", -1, 2]]},
        {"added": [["cat", 0, 0]]},
        {"added": [["cat", 0, 5], ["dog", 0, 1]]},
        {"added": [["cat", 0]]},
        {"added": [["cat", 0, 1], [3, 1, 1]]},
        {"time": 3},
        {"more": 1},
    ],
)
def test_a_damaged_history_is_refused(change):
    content = [taught().to_json()[0] | change]
    with pytest.raises((ValueError, TypeError)):
        History.from_json(content, 5)
