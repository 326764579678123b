"""The tables of a store, and what makes those of an earlier release the ones of today."""

from typing import NamedTuple

_FILES = "CREATE TABLE files (hash TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT"
# As version 2 had them: a new store goes the way that old ones went, so that both end with the same tables.
_TABLES = f"""
{_FILES};
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    reject REAL,
    created TEXT NOT NULL,
    version INTEGER NOT NULL,
    dtype TEXT,
    shape TEXT,
    reading TEXT,
    file TEXT REFERENCES files (hash)
) STRICT;
CREATE TABLE versions (
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    classes INTEGER NOT NULL,
    examples INTEGER NOT NULL,
    undo INTEGER,
    redo TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (task, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE examples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    row BLOB NOT NULL,
    text TEXT,
    picture BLOB,
    mime TEXT,
    added TEXT NOT NULL
) STRICT;
CREATE INDEX examples_of_task ON examples (task);
CREATE TABLE members (
    task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    example INTEGER NOT NULL REFERENCES examples (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    PRIMARY KEY (task, example, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_example ON members (example);
CREATE INDEX members_now ON members (task, label, example) WHERE until IS NULL;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created TEXT NOT NULL,
    revoked TEXT
) STRICT;
"""
"""An example is a member of the versions `since` <= v < `until` (NULL: of all later ones). Nothing else in a row
is ever changed, so what a version holds stays true whatever comes after, unless an example is erased from all of them.
A task that came as a `.fewshot` file has its learner in `files`."""
_FROM_1 = (
    _FILES,
    "ALTER TABLE tasks ADD COLUMN reading TEXT",
    "ALTER TABLE tasks ADD COLUMN file TEXT REFERENCES files (hash)",
    "ALTER TABLE versions ADD COLUMN undo INTEGER",
    "ALTER TABLE versions ADD COLUMN redo TEXT NOT NULL DEFAULT '[]'",
    "UPDATE versions SET undo = version - 1 WHERE version > 1",
)
"""What makes a store of release 0.1.0 the second one; how its examples are read was not decided (`Reading()`)."""
_FROM_2 = (
    "CREATE TABLE totals (tasks INTEGER NOT NULL, unscrubbed INTEGER NOT NULL) STRICT",
    # Counted by triggers, so that no place that makes or deletes a task can forget to.
    "INSERT INTO totals SELECT count(*), 0 FROM tasks",
    "CREATE TRIGGER task_inserted AFTER INSERT ON tasks BEGIN UPDATE totals SET tasks = tasks + 1; END",
    "CREATE TRIGGER task_deleted AFTER DELETE ON tasks BEGIN UPDATE totals SET tasks = tasks - 1; END",
    # NULL in older rows: each counts as the first of its content, which costs time in going back and changes nothing.
    "ALTER TABLE versions ADD COLUMN same INTEGER",
    # Of what is open alone: an example that changed its class often has many rows that ended.
    "CREATE INDEX members_open ON members (task, example) WHERE until IS NULL",
    "CREATE INDEX members_since ON members (task, since, example)",
    "CREATE INDEX members_until ON members (task, until, example) WHERE until IS NOT NULL",
    "ALTER TABLE keys ADD COLUMN tasks TEXT",
    # Ids only grow, so the oldest answers are those with the smallest.
    "CREATE TABLE answers (id INTEGER PRIMARY KEY AUTOINCREMENT, client TEXT NOT NULL, key TEXT NOT NULL, "
    "digest BLOB NOT NULL, answer TEXT NOT NULL, time REAL NOT NULL, UNIQUE (client, key)) STRICT",
    "CREATE INDEX answers_by_time ON answers (time)",
)
# NULL in older rows, when frozen encoders had their centroids alone.
_FROM_3 = ("ALTER TABLE tasks ADD COLUMN head TEXT",)
_FROM_4 = (
    # NULL in older rows, when nothing was learned from the names of classes.
    "ALTER TABLE tasks ADD COLUMN names TEXT",
    "ALTER TABLE tasks ADD COLUMN descriptions TEXT",
    # The hash of an encoder's files; NULL: its name says what it is.
    "ALTER TABLE tasks ADD COLUMN pin TEXT",
    # A list of classes that are known by their names; NULL: as in the version before.
    "ALTER TABLE versions ADD COLUMN declared TEXT",
    "CREATE INDEX versions_declared ON versions (task, version) WHERE declared IS NOT NULL",
)
# NULL in older rows, whose thresholds were set by a share of strangers alone.
_FROM_5 = ("ALTER TABLE tasks ADD COLUMN coverage REAL",)
_FROM_6 = (
    # `wanted` is what was asked of "none of these": another question has another answer.
    "CREATE TABLE evaluations (task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE, "
    "version INTEGER NOT NULL, wanted TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (task, version)) "
    "STRICT, WITHOUT ROWID",
)
_FROM_7 = (
    # Examples of changes that come in several requests: of no version, so that they are not among `examples`.
    "CREATE TABLE held (id INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER NOT NULL REFERENCES tasks (id) ON DELETE "
    "CASCADE, client TEXT NOT NULL, change TEXT NOT NULL, time REAL NOT NULL, label TEXT NOT NULL, row BLOB NOT NULL, "
    "dtype TEXT NOT NULL, shape TEXT NOT NULL, text TEXT, picture BLOB, mime TEXT, name TEXT NOT NULL, paper REAL, "
    "colour REAL) STRICT",
    "CREATE INDEX held_of_change ON held (task, client, change)",
    "CREATE INDEX held_by_time ON held (time)",
)
_FROM_8 = (
    # What is known of a task's drift, in JSON; NULL: nothing was noted yet.
    "ALTER TABLE tasks ADD COLUMN drift TEXT",
    # Examples of a class that are learned from at most; NULL: all of them.
    "ALTER TABLE tasks ADD COLUMN budget INTEGER",
)
_FROM_9 = (
    # What a support desk says beside naming intents, in JSON.
    "CREATE TABLE desks (task INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE, hash TEXT NOT NULL, content "
    "TEXT NOT NULL) STRICT",
    "CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, task INTEGER NOT "
    "NULL REFERENCES tasks (id) ON DELETE CASCADE, began TEXT NOT NULL, state TEXT NOT NULL) STRICT",
    "CREATE INDEX conversations_of_task ON conversations (task, id)",
    "CREATE TABLE messages (conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, number "
    "INTEGER NOT NULL, content TEXT NOT NULL, PRIMARY KEY (conversation, number)) STRICT, WITHOUT ROWID",
)
_FROM_10 = (
    # A tagger is its file, which has its versions and sentences; `about` is what lists show without reading it.
    "CREATE TABLE taggers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created TEXT NOT NULL, "
    "version INTEGER NOT NULL, hash TEXT NOT NULL, about TEXT NOT NULL, content BLOB NOT NULL) STRICT",
)
_FROM_11 = (
    # Whoever is recommended to: ratings by names of items, in JSON.
    "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, recommender TEXT NOT NULL, name TEXT NOT NULL, created "
    "TEXT NOT NULL, version INTEGER NOT NULL, ratings TEXT NOT NULL, UNIQUE (recommender, name)) STRICT",
)

_FROM_12 = (
    # What was learned of annotations of Label Studio: each once, and nothing from the past.
    "CREATE TABLE annotations (of TEXT NOT NULL, project INTEGER NOT NULL, annotation INTEGER NOT NULL, example "
    "INTEGER, label BLOB NOT NULL, time TEXT NOT NULL, PRIMARY KEY (of, project, annotation)) STRICT, WITHOUT ROWID",
    # Predictions that feedback may name by their tickets, where several hosts answer.
    "CREATE TABLE predictions (id INTEGER PRIMARY KEY AUTOINCREMENT, ticket TEXT NOT NULL UNIQUE, task INTEGER NOT "
    "NULL REFERENCES tasks (id) ON DELETE CASCADE, time REAL NOT NULL, row BLOB NOT NULL, value BLOB NOT NULL, about "
    "TEXT NOT NULL, weight INTEGER NOT NULL) STRICT",
    "CREATE INDEX predictions_of_task ON predictions (task)",
    "CREATE INDEX predictions_by_time ON predictions (time)",
    # Who changed what: `name` is the key's, `of` that of what was changed.
    "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, key INTEGER, name TEXT NOT NULL, "
    "verb TEXT NOT NULL, kind TEXT NOT NULL, of TEXT NOT NULL, before INTEGER, after INTEGER, request TEXT) STRICT",
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'nothing leaves the audit log'); END",
    "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'nothing of the audit log "
    "changes'); END",
    # What keys may use, and what they do: `owner` is the key whose quota something counts for.
    "ALTER TABLE keys ADD COLUMN requests INTEGER",
    "ALTER TABLE keys ADD COLUMN examples INTEGER",
    "ALTER TABLE keys ADD COLUMN bytes INTEGER",
    "CREATE TABLE requests (key INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE, day TEXT NOT NULL, spent "
    "INTEGER NOT NULL, PRIMARY KEY (key, day)) STRICT, WITHOUT ROWID",
    "ALTER TABLE examples ADD COLUMN owner INTEGER",
    "ALTER TABLE examples ADD COLUMN size INTEGER",
    "ALTER TABLE held ADD COLUMN size INTEGER",
    "CREATE INDEX examples_of_owner ON examples (owner, size) WHERE owner IS NOT NULL",
    "ALTER TABLE tasks ADD COLUMN owner INTEGER",
    "ALTER TABLE taggers ADD COLUMN owner INTEGER",
)


class Migration(NamedTuple):
    """What makes a store of one version one of the next; there is no way back."""

    to: int
    what: str
    """What it brings, for people."""
    statements: tuple[str, ...]


MIGRATIONS = (
    Migration(3, "counts, answers to changes, keys of single tasks, faster undo", _FROM_2),
    Migration(4, "heads of frozen encoders", _FROM_3),
    Migration(5, "classes known by their names, hashes of encoders", _FROM_4),
    Migration(6, "answers for a share of the examples", _FROM_5),
    Migration(7, "evaluations", _FROM_6),
    Migration(8, "changes in several parts", _FROM_7),
    Migration(9, "drift, and at most so many examples of a class", _FROM_8),
    Migration(10, "support desks", _FROM_9),
    Migration(11, "taggers", _FROM_10),
    Migration(12, "people who are recommended to", _FROM_11),
    Migration(13, "what hosts kept each for itself, an audit log, quotas", _FROM_12),
)
SCHEMA = MIGRATIONS[-1].to
"""The version of a store of today."""


TABLES = {
    "files": ("hash",),
    "tasks": ("id",),
    "versions": ("task", "version"),
    "examples": ("id",),
    "members": ("task", "example", "since"),
    "keys": ("id",),
    "answers": ("id",),
    "evaluations": ("task", "version"),
    "held": ("id",),
    "desks": ("task",),
    "conversations": ("id",),
    "messages": ("conversation", "number"),
    "taggers": ("id",),
    "people": ("id",),
    "annotations": ("of", "project", "annotation"),
    "predictions": ("id",),
    "audit": ("id",),
    "requests": ("key", "day"),
}
"""Tables of today with their keys, each behind those that it refers to; `totals` follows from them."""


COUNTED = tuple(table for table, keys in TABLES.items() if keys == ("id",))
"""Tables whose rows are given numbers, none of them twice."""


def steps(version: int) -> tuple[Migration, ...]:
    """What is between a store and one of today, in order; 0 is an empty one, 1 one of release 0.1.0."""
    begin = {
        0: (Migration(2, "tables", tuple(_TABLES.strip().rstrip(";").split(";\n"))),),
        1: (Migration(2, "how examples are read, tasks of files, undo", _FROM_1),),
    }
    return begin.get(version, ()) + tuple(step for step in MIGRATIONS if step.to > version)
