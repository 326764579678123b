"""What was learned of annotations of Label Studio: in the store, where all hosts see it, and out of older files."""

import sqlite3

import pytest

from innerloop.core.errors import InputError
from innerloop.service.http.app import create
from innerloop.service.settings import Settings
from innerloop.service.store import upkeep
from tests.service.http.test_label_studio import EVENTS, annotation, event, taught, tell
from tests.service.served import served_by, serving, teach


def test_what_an_earlier_release_kept_in_a_file_is_taken_into_the_store_once(place, tmp_path, caplog):
    with serving(place) as client:
        teach(client, "topics")
        tell(client, EVENTS["made"])
        database = served_by(client).store.database
        file = database.beside / "label-studio.sqlite"
        with database.writing() as c:
            rows = [
                tuple(row) for row in c.execute("SELECT of, project, annotation, example, label, time FROM annotations")
            ]
            c.execute("DELETE FROM annotations")
            c.execute("DELETE FROM answers")
    file.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(file) as c:
        c.execute(
            "CREATE TABLE annotations (of TEXT, project INTEGER, annotation INTEGER, example INTEGER, label BLOB, time "
            "TEXT, PRIMARY KEY (of, project, annotation)) WITHOUT ROWID"
        )
        c.executemany("INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?)", rows)
    c.close()
    if place == str(tmp_path):  # a copy of a store that was not served since has it too
        assert (upkeep.backup(place, tmp_path / "backup").path / "label-studio.sqlite").is_file()
    with caplog.at_level("INFO"), serving(place) as client:
        tell(client, EVENTS["changed"])
        assert taught(client)[0] == [("aba", "a")] and not file.exists()
    assert caplog.text.count("1 annotations of Label Studio were taken from") == 1
    file.write_text("no database at all, whatever its name says")
    with pytest.raises(InputError, match="cannot be read"):
        create(Settings(store=place))
    file.unlink()


def test_what_one_host_learned_another_changes_and_takes_back(place):
    with serving(place) as one, serving(place) as other:
        teach(one, "topics")
        tell(one, EVENTS["made"])
        assert tell(other, EVENTS["made"]) == ["nothing: it is known"]
        assert tell(other, EVENTS["changed"]) == ["learned"] and taught(one)[0] == [("aba", "a")]
        assert tell(one, event("ANNOTATIONS_DELETED", annotation(17, "a"))) == ["taken back"]
        assert taught(other)[0] == [] and tell(other, EVENTS["changed"]) == ["nothing: a later state of it is known"]
        one.delete("/api/tasks/topics").raise_for_status()
        with served_by(other).store.database.reading() as c:
            assert c.execute("SELECT count(*) FROM annotations").fetchone()[0] == 0
