"""A line in, a result out: what the shell does, without its terminal."""

from __future__ import annotations

import csv
import os
import shutil

import numpy as np
import pytest

import classrel_db
from classrel_db.cli import app
from classrel_db.records import FORMATS
from classrel_db.shell.session import Session, missing, script

from .conftest import LABELS, MODELS


@pytest.fixture
def ask(session):
    """What a line comes to; it must not raise."""
    return session.handle


def rows_of(result):
    """The rows of a result's only answer."""
    assert (result.code, result.error) == (0, ""), result
    (answer,) = result.answers
    return answer.rows.fetchall()


def refused(result, *parts, code=1):
    assert result.code == code, result
    assert result.answers == ()
    for part in parts:
        assert part in result.error
    return result


def note_of(result):
    assert (result.code, result.error) == (0, ""), result
    (note,) = result.notes
    return note


# commands are those of the command line

COMMANDS = [
    "models",
    "info alpha",
    "classes alpha",
    "classes beta dog",
    "similar dog -k 3",
    "similar 'Dungeness crab' -m beta --self",
    'similar "jack-o\'-lantern" -k 2',
    "similar 'dog + hot dog' -k 2",
    "similar dog -k 2 --where \"label LIKE '%crab%'\"",
    "query neighbors alpha dog k=3",
    "query model_summary models=alpha,beta",
    "query",
    "sql 'FROM classes LIMIT 3'",
    "check",
]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_answers_as_on_the_command_line(ask, small, classrel, line):
    import shlex

    header, *body = csv.reader(
        classrel(*shlex.split(line), "--db", small, "-f", "csv").stdout.splitlines()
    )
    result = ask(line)
    (answer,) = result.answers
    assert answer.rows.columns == header
    assert answer.rows.shape[0] == len(body)
    assert [str(row[0]) for row in answer.rows.fetchall()] == [row[0] for row in body]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("similar", 2, "Missing argument 'CLASS'"),
        ("similar dog -k many", 2, "not a valid integer"),
        ("similar dog -f xml", 2, "'xml' is not one of"),
        ("models --nosuch", 2, "No such option"),
        ("info", 2, "Missing argument 'MODEL'"),
        ("ingest", 2, "Missing argument 'SPEC"),
        ("query neighbors alpha k=1 k=2", 2, "k is given twice"),
        ("similar nosuch", 1, 'no class "nosuch"'),
        ("similar crab", 1, "could be 3 classes"),
        ("similar dog -k 0", 1, "k is 0"),
        ("info gamma", 1, 'no model "gamma"'),
        ("sql 'FROM nosuch'", 1, "nosuch"),
        ("sql 'DELETE FROM models'", 1, "changes the database"),
        ("remove gamma", 1, 'no model "gamma"'),
        ("ingest ./missing.npz", 1, "missing.npz"),
        ("nosuch", 1, 'no command "nosuch"'),
        ("simlar dog", 1, 'did you mean "similar"'),
        ("SIMILAR dog", 1, 'did you mean "similar"'),
        ("similar 'dog", 1, "close the quote"),
        ("shell", 1, "this is the shell already"),
        ("shell -c models", 1, "this is the shell already"),
        ("-h", 1, "no command"),
        ("🦀", 1, "no command"),
    ],
)  # fmt: skip
def test_a_wrong_command_has_the_exit_code_of_the_command_line(ask, line, code, said):
    refused(ask(line), said, code=code)


def test_wrong_usage_shows_the_usage(ask):
    assert ask("similar").error.startswith("Usage: classrel similar [OPTIONS] CLASS\n")


@pytest.mark.parametrize("line", ["similar -h", "similar --help", "query --help", "ingest -h"])
def test_a_command_explains_itself(ask, line):
    result = ask(line)
    assert result.code == 0
    assert result.text.startswith(f"Usage: classrel {line.split()[0]} ")
    assert ask(line).text == result.text


def test_help_for_a_command_leaves_its_options_alone(ask):
    ask("\\help info")
    assert ask("info -h").text.startswith("Usage: classrel info ")


@pytest.mark.parametrize("line", ["", "  ", "\n", "\t"])
def test_an_empty_line_is_nothing(ask, line):
    result = ask(line)
    assert (result.answers, result.text, result.notes, result.error, result.code) == (
        (),
        "",
        (),
        "",
        0,
    )


@pytest.mark.parametrize("line", ["-- a remark", "# a remark", "/* a remark */"])
def test_a_remark_is_nothing(ask, line):
    assert ask(line).code == 0


def test_a_semicolon_after_a_command_is_fine(ask):
    assert len(rows_of(ask("models;"))) == 2
    assert len(rows_of(ask("similar dog -m alpha -k 2 ;"))) == 2


def test_a_command_writes_where_it_says(ask, tmp_path):
    (answer,) = ask(f"models -f json -o '{tmp_path}/a b.json'").answers
    assert (answer.format, answer.output) == ("json", tmp_path / "a b.json")


def test_another_database_for_one_command(ask, two_databases):
    other = two_databases
    assert [row[0] for row in rows_of(ask(f"models --db {other}"))] == ["gamma"]
    assert [row[0] for row in rows_of(ask("models"))] == list(MODELS)
    refused(ask("models --db /nowhere/x.duckdb"), "no database at /nowhere/x.duckdb")
    refused(ask("models --db"), "requires an argument", code=2)


@pytest.fixture
def two_databases(tmp_path):
    """A database beside the one that the shell is on."""
    np.savez(
        tmp_path / "gamma.npz",
        weight=np.random.default_rng(1).normal(size=(4, 5)),
        labels=list("abcd"),
    )
    with classrel_db.open(tmp_path / "other.duckdb") as catalog:
        catalog.ingest(tmp_path / "gamma.npz")
    return tmp_path / "other.duckdb"


# use


def test_use_names_the_model_of_what_follows(ask, session):
    assert note_of(ask("use beta")).startswith("model beta")
    assert session.model == "beta"
    assert {row[0] for row in rows_of(ask("similar dog -k 2"))} == {"beta"}
    assert {row[0] for row in rows_of(ask("similar dog -k 2 -m alpha"))} == {"alpha"}
    assert {row[0] for row in rows_of(ask("similar dog -k 2 --model=alpha"))} == {"alpha"}
    assert rows_of(ask("info"))[0][0] == "beta"
    assert rows_of(ask("info alpha"))[0][0] == "alpha"
    assert rows_of(ask("SELECT getvariable('model');")) == [("beta",)]
    assert len(rows_of(ask("FROM neighbors(getvariable('model'), 'dog', k := 2);"))) == 2


@pytest.mark.parametrize("line", ["use", "use *", "use;", "USE *;"])
def test_use_star_asks_all_again(ask, session, line):
    ask("use beta")
    assert note_of(ask(line)) == "all models"
    assert session.model is None
    assert {row[0] for row in rows_of(ask("similar dog -k 2"))} == set(MODELS)


def test_use_star_forgets_the_model_in_sql_too(ask):
    ask("use beta")
    ask("use *")
    assert rows_of(ask("SELECT getvariable('model');")) == [(None,)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("use gamma", 'no model "gamma"'),
        ("use alhpa", 'did you mean "alpha"'),
        ("use x' OR 1=1 --", "quot"),
        ('use "x\' OR 1=1 --"', "no model"),
    ],
)
def test_use_of_what_is_no_model_changes_nothing(session, line, said):
    session.handle("use beta")
    assert said in refused(session.handle(line)).error.lower()
    assert session.model == "beta"


def test_a_models_name_with_a_quote_is_bound(tmp_path):
    np.savez(
        tmp_path / "x.npz", weight=np.random.default_rng(1).normal(size=(4, 5)), labels=list("abcd")
    )
    with classrel_db.open(tmp_path / "x.duckdb") as catalog:
        catalog.ingest(tmp_path / "x.npz", name="it's; --")
        session = Session(app, catalog)
        assert session.handle('use "it\'s; --"').code == 0
        assert rows_of(session.handle("SELECT getvariable('model');")) == [("it's; --",)]
        assert len(rows_of(session.handle("similar a -k 2"))) == 2


# SQL


def test_sql_ends_with_a_semicolon(ask):
    assert rows_of(ask("SELECT 1;")) == [(1,)]
    assert rows_of(ask("select\n1\n;")) == [(1,)]
    assert rows_of(ask("-- why\nSELECT 1; -- how")) == [(1,)]
    refused(ask("SELECT 1"), "end it with a semicolon")


def test_several_statements_in_one_line_answer_one_after_another(ask):
    result = ask("SELECT 1 AS a; SELECT 'x;y' AS b; CREATE TEMP TABLE t AS SELECT 5 AS n; FROM t;")
    assert result.code == 0
    first, second, _, last = [answer.rows for answer in result.answers]
    assert (first.columns, first.fetchall()) == (["a"], [(1,)])
    assert (second.columns, second.fetchall()) == (["b"], [("x;y",)])
    assert (last.columns, last.fetchall()) == (["n"], [(5,)])


def test_a_later_statement_does_not_change_an_earlier_answer(ask):
    result = ask("CREATE TEMP TABLE t AS SELECT 1 AS n; FROM t; INSERT INTO t VALUES (2); FROM t;")
    answers = [answer.rows.fetchall() for answer in result.answers]
    assert answers[1] == [(1,)]
    assert sorted(answers[3]) == [(1,), (2,)]


def test_what_was_answered_before_an_error_is_shown(ask):
    result = ask("SELECT 1 AS a; SELECT nosuch; SELECT 3;")
    assert result.code == 1
    assert [answer.rows.fetchall() for answer in result.answers] == [[(1,)]]


def test_an_error_in_sql_shows_its_place(ask):
    lines = refused(ask("SELECT 1 AS a,\n  labl FROM classes;")).error.splitlines()
    assert lines[1].strip() == "line 2:   labl FROM classes;"
    assert lines[2].index("^") == lines[1].index("labl")
    assert "label" in lines[3]


@pytest.mark.parametrize(
    "line",
    ["DELETE FROM models;", "COPY models TO 'x.csv';", "ATTACH 'x.duckdb';", "PRAGMA version;"],
)
def test_the_shell_only_reads(ask, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    refused(ask(line), "allowed are SELECT, FROM")
    assert list(tmp_path.iterdir()) == []


def test_a_statement_of_an_unknown_kind_does_not_end_the_shell(ask):
    refused(ask("UPDATE EXTENSIONS;"))


def test_temporary_things_last_between_lines(ask):
    ask("CREATE TEMP TABLE t AS SELECT 42 AS n;")
    ask("models")
    ask("CREATE TEMP MACRO twice(n) AS 2 * n;")
    ask("similar dog -k 2")
    ask("nosuch")
    assert rows_of(ask("SELECT twice(n) FROM t;")) == [(84,)]


def test_an_error_while_rows_are_computed_is_a_result(ask):
    refused(ask("SELECT error('stop') FROM classes;"), "stop")
    assert rows_of(ask("SELECT 1;")) == [(1,)]


# \d, \dm, \help


def test_d_lists_tables_and_views(ask):
    listed = {row[0]: row[1] for row in rows_of(ask("\\d"))}
    assert listed["models"] == "table"
    assert listed["pairwise"] == "view"
    assert "classrel" not in listed


@pytest.mark.parametrize("line", ["\\d classes", "\\d classes;", '\\d "classes"', "\\d   classes"])
def test_d_shows_the_columns_of_one(ask, line):
    assert ("label", "VARCHAR") in rows_of(ask(line))


def test_d_and_dm_show_the_text_of_a_macro(ask):
    text = ask("\\d rank_shift").text
    assert text.startswith("-- How the neighbours")
    assert ask("\\dm rank_shift").text == text
    assert {"rank_shift", "neighbors"} <= {row[0] for row in rows_of(ask("\\dm"))}


def test_d_sees_what_is_temporary(ask):
    ask("CREATE TEMP TABLE mine AS SELECT 1 AS n;")
    assert ("n", "INTEGER") in rows_of(ask("\\d mine"))
    assert "mine" in {row[0] for row in rows_of(ask("\\d"))}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("\\d clases", 'did you mean "classes"'),
        ("\\d zzz", 'no table, view or macro "zzz"'),
        ("\\dm nosuch", 'no query "nosuch"'),
        ("\\d x' OR 1=1 --", "no table"),
        ("\\help nosuch", "no help on"),
        ("\\nosuch", "no command"),
        ("\\", "no command"),
        ("\\D classes", "did you mean"),
    ],
)
def test_what_is_not_there_is_told(ask, line, said):
    refused(ask(line), said)


def test_a_tab_after_a_command_is_a_blank(ask):
    assert ask("\\d\tclasses").code == 0


def test_help_lists_every_command(ask, session):
    text = ask("\\help").text
    assert ask("help").text == text
    for name in session.commands:
        assert f"\n  {name} " in text
    for name in session.backslash_commands:
        assert name in text


@pytest.mark.parametrize(
    "topic", ["sql", "keys", "similar", "neighbors", "d", "\\d", "\\timing", "use"]
)
def test_help_has_its_topics(ask, topic):
    assert ask(f"\\help {topic}").text
    assert ask(f"help {topic};").text == ask(f"\\help {topic}").text


# \timing, \format, \o, \last


def test_timing_is_switched(ask, session):
    for line, expected in (
        ("\\timing", True),
        ("\\timing", False),
        ("\\timing on", True),
        ("\\timing on", True),
        ("\\timing off", False),
    ):
        assert note_of(ask(line)) == f"timing is {'on' if expected else 'off'}"
        assert session.timing is expected
    refused(ask("\\timing maybe"), "on or off")
    assert session.timing is False


def test_every_line_is_timed(ask, session):
    result = ask("SELECT 1;")
    assert 0 < result.seconds < 60
    assert session.seconds == result.seconds


@pytest.mark.parametrize("format", FORMATS)
def test_format_is_remembered(ask, session, format):
    assert note_of(ask(f"\\format {format}")) == f"format is {format}"
    assert session.format == (None if format == "table" else format)
    assert note_of(ask("\\format")).startswith(f"format is {format}; there are table, json")


@pytest.mark.parametrize("word", ["xml", "CSV", "csv json"])
def test_a_format_that_is_none_is_refused(ask, session, word):
    refused(ask(f"\\format {word}"), "there are table, json")
    assert session.format is None


def test_o_sends_results_to_a_file_until_it_is_said_again(ask, session, tmp_path):
    note = note_of(ask(f"\\o {tmp_path}/out.csv"))
    assert str(tmp_path / "out.csv") in note
    assert session.output == tmp_path / "out.csv"
    assert note_of(ask("\\o")) == "results go to the terminal"
    assert session.output is None


def test_o_takes_a_file_in_quotes(ask, session, tmp_path):
    ask(f"\\o '{tmp_path}/a b.csv'")
    assert session.output == tmp_path / "a b.csv"


@pytest.mark.parametrize("name", ["nosuch/out.csv", "out.xyz", "."])
def test_o_refuses_what_can_not_be_written(ask, session, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused(ask(f"\\o {name}"))
    assert session.output is None


def test_last_is_the_last_result_again(ask, tmp_path):
    expected = rows_of(ask("SELECT label FROM classes WHERE model_id = 1;"))
    assert rows_of(ask("\\last")) == expected
    (answer,) = ask("\\last csv").answers
    assert (answer.format, answer.output, answer.rows.fetchall()) == ("csv", None, expected)
    (answer,) = ask(f"\\last csv {tmp_path}/out.csv").answers
    assert (answer.format, answer.output) == ("csv", tmp_path / "out.csv")
    (answer,) = ask(f"\\last '{tmp_path}/a b.parquet'").answers
    assert (answer.format, answer.output) == (None, tmp_path / "a b.parquet")
    assert len(expected) == len(LABELS)


def test_last_does_not_change_with_the_database(own, tmp_path):
    expected = rows_of(own.handle("SELECT name FROM models ORDER BY ALL;"))
    assert own.handle("remove beta").code == 0
    assert rows_of(own.handle("\\last")) == expected == [("alpha",), ("beta",)]


def test_last_of_a_command_is_drawn_as_the_command_draws(ask):
    (first,) = ask("similar dog -k 2").answers
    (again,) = ask("\\last").answers
    assert again.drawing == first.drawing == "neighbor_tables"


def test_without_a_last_result_there_is_none(ask):
    refused(ask("\\last"), "no last result yet")
    refused(ask("\\explain"), "nothing to explain yet")
    refused(ask("\\watch"), "nothing to watch yet")


def test_last_takes_a_format_and_a_file_and_no_more(ask, tmp_path):
    ask("SELECT 1;")
    refused(ask(f"\\last csv {tmp_path}/a.csv more"), "a format and a file")


def test_of_a_huge_result_the_first_rows_are_kept(ask, tmp_path):
    result = ask("FROM range(200000);")
    assert "more than 100,000 rows" in note_of(result)
    assert "\\o FILE" in note_of(result)
    assert len(rows_of(ask("\\last"))) == 100_000
    refused(ask(f"\\last csv {tmp_path}/out.csv"), "only the first 100,000 rows")
    refused(ask("\\last csv"), "only the first 100,000 rows")
    ask("FROM range(100000);")
    (answer,) = ask(f"\\last csv {tmp_path}/out.csv").answers
    assert answer.rows.shape[0] == 100_000


@pytest.mark.parametrize("line", ['\\o "open', "\\last 'open", "\\read 'open", 'use "open'])
def test_an_open_quote_is_told_everywhere(ask, line):
    ask("SELECT 1;")
    refused(ask(line), "quot")


# \explain, \watch, \e


def test_explain_shows_how_a_statement_runs(ask):
    text = ask("\\explain SELECT label FROM classes ORDER BY norm").text
    assert "Total Time" in text
    assert "classes" in text
    ask("SELECT norm FROM classes WHERE class_idx > 3;")
    assert "class_idx" in ask("\\explain").text
    assert ask("\\explain SELECT 1;").text


@pytest.mark.parametrize(
    ("line", "said"),
    [("\\explain SELEC 1", "syntax error"), ("\\explain DELETE FROM models", "runs the statement")],
)
def test_explain_of_what_can_not_run_is_refused(ask, line, said):
    refused(ask(line), said)


@pytest.mark.parametrize(
    ("line", "text", "pause"),
    [
        ("\\watch", "SELECT 1;", 2),
        ("\\watch 5", "SELECT 1;", 5),
        ("\\watch 0.5 FROM models", "FROM models;", 0.5),
        ("\\watch 1 FROM models;", "FROM models;", 1),
    ],
)
def test_watch_asks_again_and_again(ask, line, text, pause):
    ask("SELECT 1;")
    result = ask(line)
    assert (result.then, result.text, result.pause, result.code) == ("watch", text, pause, 0)


@pytest.mark.parametrize("pause", ["0", "-1", "nan", "inf", "1e9", "often"])
def test_watch_takes_seconds(ask, pause):
    ask("SELECT 1;")
    refused(ask(f"\\watch {pause}"), "\\watch takes")


def test_watch_may_name_a_statement_alone(ask):
    assert ask("\\watch FROM models").text == "FROM models;"


def test_e_gives_what_is_to_be_edited(ask):
    assert (ask("\\e").then, ask("\\e").text) == ("edit", "")
    ask("SELECT 1\n;")
    assert ask("\\e").text == "SELECT 1\n;"
    assert ask("\\e SELECT 2").text == "SELECT 2"


@pytest.mark.parametrize("line", ["\\q", "exit", "quit", "EXIT;", "\\q;"])
def test_leaving(ask, line):
    result = ask(line)
    assert (result.then, result.code, result.error) == ("leave", 0, "")


# \read


@pytest.fixture
def reading(session, tmp_path):
    """What a file comes to, and its name."""

    def read(text, name="lines.txt"):
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return session.handle(f"\\read '{file}'"), str(file)

    return read


def test_read_runs_the_lines_of_a_file(reading, session):
    result, _ = reading(
        "# first\n-- second\n\nmodels\n\\timing on\nSELECT 1\n  AS n\n;\nuse beta\nsimilar dog -k 2\n"
    )
    assert (result.code, result.error) == (0, "")
    assert [answer.rows.shape[0] for answer in result.answers] == [2, 1, 2]
    assert result.notes == ("timing is on", "model beta; `use *` asks all again")
    assert session.model == "beta"


@pytest.mark.parametrize(
    ("text", "line", "code", "answers"),
    [
        ("models\nnosuch\nmodels\n", 2, 1, 1),
        ("\n\nmodels\n\n# a\nsimilar\n", 6, 2, 1),
        ("models\nSELECT 1,\n labl\nFROM classes;\nmodels\n", 2, 1, 1),
        ("models\nFROM models", 2, 1, 1),
        ("SELECT error('stop');", 1, 1, 0),
        ("\\nosuch", 1, 1, 0),
        ("SELECT 'open\nmodels\nmodels\n", 1, 1, 0),
        ("\\read nosuch.txt", 1, 1, 0),
    ],
)
def test_read_stops_at_the_first_error_and_names_its_line(reading, text, line, code, answers):
    result, file = reading(text)
    assert result.error.startswith(f"{file}:{line}: ")
    assert result.code == code
    assert len(result.answers) == answers


def test_read_stops_where_the_file_leaves(reading):
    result, _ = reading("models\nexit\nnosuch\n")
    assert (result.then, result.code, len(result.answers)) == ("leave", 0, 1)


def test_files_may_read_files(reading, tmp_path):
    (tmp_path / "inner.txt").write_text("models\nnosuch\n")
    result, file = reading(f"models\n\\read {tmp_path}/inner.txt\n")
    assert result.error.startswith(f"{file}:2: {tmp_path}/inner.txt:2: no command")


def test_a_file_that_reads_itself_is_refused(reading, tmp_path):
    result, _ = reading(f"\\read {tmp_path}/lines.txt\n")
    assert result.code == 1


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_can_not_be_read_is_named(session, tmp_path, content):
    file = tmp_path / "lines.txt"
    if content is not None:
        file.write_bytes(content)
    refused(session.handle(f"\\read {file}"), str(file))
    refused(session.handle("\\read"), "takes a file")


def test_a_file_may_begin_with_a_comment_of_several_lines(reading):
    result, _ = reading("/* what\n   follows */\nSELECT 1;\n")
    assert (result.code, result.error) == (0, "")


def test_a_script_is_gathered_up_to_its_semicolons():
    text = "models\n\n# a\n-- b\nSELECT\n  'x;\n# y'\n;\n  similar dog\nSELECT 1; SELECT 2;\nFROM\n"
    assert script(text) == [
        (1, "models"),
        (5, "SELECT\n  'x;\n# y'\n;"),
        (9, "  similar dog"),
        (10, "SELECT 1; SELECT 2;"),
        (11, "FROM"),
    ]


# the database under the shell


def test_ingest_and_sql_after_it(own, tmp_path):
    np.savez(
        tmp_path / "gamma.npz",
        weight=np.random.default_rng(1).normal(size=(4, 5)),
        labels=list("abcd"),
    )
    own.handle("CREATE TEMP TABLE t AS SELECT 1;")
    assert rows_of(own.handle("SELECT count(*) FROM models;")) == [(2,)]
    result = own.handle(f"ingest {tmp_path}/gamma.npz")
    assert (result.code, result.error) == (0, "")
    assert rows_of(own.handle("SELECT name FROM models ORDER BY model_id;"))[-1] == ("gamma",)
    assert {row[0] for row in rows_of(own.handle("similar a -k 2"))} == {"gamma"}
    assert own.handle("use gamma").code == 0
    assert rows_of(own.handle("SELECT getvariable('model');")) == [("gamma",)]
    refused(own.handle("FROM t;"), "does not exist")
    assert own.handle("remove gamma").notes == ("gamma: removed",)
    assert rows_of(own.handle("SELECT count(*) FROM models;")) == [(2,)]


def test_the_model_in_use_outlives_a_write(own, tmp_path):
    np.savez(
        tmp_path / "gamma.npz",
        weight=np.random.default_rng(1).normal(size=(4, 5)),
        labels=list("abcd"),
    )
    own.handle("use beta")
    own.handle(f"ingest {tmp_path}/gamma.npz")
    assert {row[0] for row in rows_of(own.handle("similar dog -k 2"))} == {"beta"}
    assert rows_of(own.handle("SELECT getvariable('model');")) == [("beta",)]


@pytest.mark.parametrize("line", ["ingest ./missing.npz", "ingest {}/broken.npz"])
def test_an_ingest_that_fails_leaves_the_shell_as_it_was(own, tmp_path, line):
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    refused(own.handle(line.format(tmp_path)))
    assert rows_of(own.handle("SELECT count(*) FROM models;")) == [(2,)]


def test_a_database_that_is_replaced_is_seen(own, two_databases):
    own.handle("use beta")
    assert rows_of(own.handle("SELECT count(*) FROM models;")) == [(2,)]
    shutil.copy(two_databases, f"{own.catalog.path}.new")
    os.replace(f"{own.catalog.path}.new", own.catalog.path)
    assert rows_of(own.handle("SELECT name FROM models;")) == [("gamma",)]
    assert [row[0] for row in rows_of(own.handle("models"))] == ["gamma"]
    refused(own.handle("similar a -k 2"), 'no model "beta"')
    own.handle("use *")
    assert len(rows_of(own.handle("similar a -k 2"))) == 2


def test_a_database_that_is_removed_is_told_and_may_come_back(own, tmp_path):
    assert own.handle("models").code == 0
    own.catalog.path.rename(tmp_path / "aside.duckdb")
    for line in ("models", "SELECT 1;", "similar dog", "use beta", "\\d"):
        refused(own.handle(line), "no database at")
    assert not own.catalog.path.exists()
    (tmp_path / "aside.duckdb").rename(own.catalog.path)
    assert len(rows_of(own.handle("models"))) == 2


def test_a_shell_on_no_database_makes_one_with_an_ingest(tmp_path):
    np.savez(
        tmp_path / "gamma.npz",
        weight=np.random.default_rng(1).normal(size=(4, 5)),
        labels=list("abcd"),
    )
    with classrel_db.open(tmp_path / "new.duckdb") as catalog:
        session = Session(app, catalog)
        assert "no database at" in missing(catalog)
        assert "`ingest efficientnet_lite0` makes one" in missing(catalog)
        for line in ("models", "SELECT 1;", "\\d", "use gamma", "similar a"):
            refused(session.handle(line), "no database at")
        assert not (tmp_path / "new.duckdb").exists()
        assert session.handle("\\help").code == 0
        assert session.handle("\\dm neighbors").text
        assert session.handle(f"ingest {tmp_path}/gamma.npz").code == 0
        assert missing(catalog) is None
        assert rows_of(session.handle("SELECT name FROM models;")) == [("gamma",)]


def test_a_check_that_fails_shows_what_it_found(own):
    own.catalog.sql("UPDATE pairs SET cosine = 0.5 WHERE a = 0 AND b = 1", write=True)
    result = own.handle("check")
    assert result.code == 1
    assert "checks failed" in result.error
    assert False in [row[2] for row in result.answers[0].rows.fetchall()]


def test_own_queries_are_known(small, tmp_path):
    (tmp_path / "mine.sql").write_text(
        "-- Mine.\n--\n-- top  INTEGER := 1  how many\n--\n-- Example: FROM mine()\n"
        "CREATE OR REPLACE MACRO mine(top := 1) AS TABLE SELECT name FROM models LIMIT top;\n"
    )
    with classrel_db.open(small, queries=tmp_path) as catalog:
        session = Session(app, catalog)
        assert len(rows_of(session.handle("FROM mine(top := 2);"))) == 2
        assert len(rows_of(session.handle("query mine top=2"))) == 2
        assert "CREATE OR REPLACE MACRO mine" in session.handle("\\d mine").text
        assert session.handle("help mine").text


@pytest.mark.parametrize(
    ("line", "models"),
    [
        ("query neighbors dog k=2", {"beta"}),
        ("query neighbors class=dog k=2 --format csv", {"beta"}),
        ("query neighbors alpha dog k=2", {"alpha"}),
        ("query neighbors model=alpha class=dog k=2", {"alpha"}),
        ("query model_summary", {"beta"}),
        ("query model_summary models=alpha", {"alpha"}),
        ("query model_summary models=alpha,beta", {"alpha", "beta"}),
        ("classes dog", {"beta"}),
        ("classes", {"beta"}),
        ("classes alpha dog", {"alpha"}),
        ("plot histogram", {"beta"}),
        ("plot histogram alpha", {"alpha"}),
        ("plot neighbors dog -k 2", {"beta"}),
        ("plot neighbors dog -k 2 -m alpha", {"alpha"}),
    ],
)
def test_the_model_in_use_is_asked_where_none_is_named(ask, line, models):
    ask("use beta")
    assert {row[0] for row in rows_of(ask(line))} == models
