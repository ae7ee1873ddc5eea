"""Files of named queries: what is in order, and what is not, with the line it is at."""

from __future__ import annotations

import pytest

from classrel_db.errors import QueryFileError
from classrel_db.storage import queries
from classrel_db.storage.schema import query_files

GOOD = """\
-- What comes first,
-- by index.
--
-- model  VARCHAR        a model's name
-- k      INTEGER := 5   how many
--                       of them
-- names  VARCHAR[] := NULL  for show
-- keep   CONDITION := NULL  a condition
--
-- Example: FROM first_classes('small')
-- Example: FROM first_classes('small', k := 2)
--
-- Reading it: class_idx is the
-- row of the head.
CREATE OR REPLACE MACRO first_classes(model, k := 5, names := NULL, keep := NULL) AS TABLE
SELECT c.class_idx, c.label
FROM classes AS c
JOIN models AS m ON m.model_id = c.model_id
WHERE m.name = model
ORDER BY c.class_idx
LIMIT k;
"""


@pytest.fixture
def folder(tmp_path):
    """Write files into a folder of queries."""

    def write(text=GOOD, name="first_classes.sql", **others):
        path = tmp_path / "queries"
        path.mkdir(exist_ok=True)
        for file, content in {name: text, **others}.items():
            (path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def fault(folder):
    """The message with which a file is refused."""

    def message(text, name="first_classes.sql"):
        path = folder(text, name)
        with pytest.raises(QueryFileError) as caught:
            queries.of_folder(path)
        return str(caught.value).replace(str(path / name), "FILE")

    return message


def test_what_a_file_declares_is_read(folder):
    (query,) = queries.of_folder(folder())
    assert query.name == "first_classes"
    assert query.summary == "What comes first, by index."
    assert query.reading == "class_idx is the row of the head."
    assert query.examples == (
        "FROM first_classes('small')",
        "FROM first_classes('small', k := 2)",
    )
    assert [(p.name, p.type, p.default, p.help) for p in query.parameters] == [
        ("model", "VARCHAR", None, "a model's name"),
        ("k", "INTEGER", "5", "how many of them"),
        ("names", "VARCHAR[]", "NULL", "for show"),
        ("keep", "CONDITION", "NULL", "a condition"),
    ]
    assert query.signature == "first_classes(model, k := 5, names := NULL, keep := NULL)"
    assert query.text == GOOD


def test_the_shipped_queries_are_in_order():
    shipped = queries.shipped()
    assert [query.name for query in shipped] == [path.stem for path in query_files()]
    assert len(shipped) >= 10
    queries.verify(shipped)
    for query in shipped:
        assert query.summary.endswith(".")
        assert query.reading
        assert all(query.name in example for example in query.examples)


def test_a_folder_without_queries_is_fine(tmp_path):
    (tmp_path / "notes.txt").write_text("not one")
    assert queries.of_folder(tmp_path) == []


@pytest.mark.parametrize("name", ["missing", "file.sql"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file.sql").write_text(GOOD)
    with pytest.raises(QueryFileError, match=rf"{name} is no folder of queries"):
        queries.of_folder(tmp_path / name)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_of_either_kind_are_fine(folder, ending):
    (query,) = queries.of_folder(folder(GOOD.replace("\n", ending)))
    assert query.parameters[1].help == "how many of them"


def test_create_macro_without_or_replace_is_fine(folder):
    (query,) = queries.of_folder(folder(GOOD.replace("OR REPLACE ", "")))
    assert queries.as_temporary(query).count("CREATE OR REPLACE TEMP MACRO first_classes(") == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("-- model  VARCHAR", "-- modell  VARCHAR", 4, "the header says `modell`"),
        (
            "INTEGER := 5",
            "INTEGER := 6",
            5,
            "the header says `k := 6` where the macro has `k := 5`",
        ),
        ("INTEGER := 5", "INTEGER", 5, "the header says `k`"),
        ("VARCHAR  ", "VARCHAR := 'x'  ", 4, "the header says `model := 'x'`"),
        ("INTEGER", "INTEGR", 5, "INTEGR is no type"),
        ("k      INTEGER := 5   how", "k  INTEGER := 5 how", 5, "with two blanks between"),
        ("-- Example: FROM first_classes('small')\n", "-- Exampel: FROM x\n", 10, "not"),
        ("FROM first_classes('small')", "FROM first_clases('small')", 10, "does not run"),
        ("('small', k := 2)", "('small', kk := 2)", 11, "does not run"),
        ("('small', k := 2)", "('small', k := 2", 11, "does not run"),
        ("SELECT c.class_idx", "SELEC c.class_idx", 16, "syntax error"),
        ("LIMIT k;", "LIMIT k LIMIT k;", 21, "syntax error"),
        ("LIMIT k;\n", "LIMIT k;\nSELECT 1;\n", 22, "2 statements"),
        ("LIMIT k;\n", "LIMIT k;\n\n-- more\nCREATE MACRO y() AS 1;\n", 24, "2 statements"),
        ("MACRO first_classes(", "MACRO other(", 15, "must make the table macro first_classes"),
    ],
)
def test_a_fault_is_named_with_its_line(fault, old, new, line, said):
    assert old in GOOD
    message = fault(GOOD.replace(old, new, 1))
    assert message.startswith(f"FILE:{line}: "), message
    assert said in message


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("SELECT c.class_idx, c.label", "SELECT c.class_idx, c.lable", 16),
        ("FROM classes AS c", "FROM clases AS c", 17),
        ("ORDER BY c.class_idx", "ORDER BY lenght(c.label)", 20),
    ],
)
def test_a_name_that_the_statement_does_not_know_is_named_with_its_line(fault, old, new, line):
    assert fault(GOOD.replace(old, new)).startswith(f"FILE:{line}: ")


def test_the_line_is_the_parameters_even_if_its_name_is_elsewhere_too(fault):
    text = GOOD.replace("What comes", "The k that come").replace("INTEGER := 5", "INTEGR := 5")
    assert fault(text).startswith("FILE:5: ")


def test_one_blank_between_type_and_help_is_told(fault):
    assert "with two blanks" in fault(GOOD.replace("INTEGER := 5   how", "INTEGER := 5 how"))


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("INTEGER", "-1"),
        ("DOUBLE", "0.5"),
        ("DOUBLE", "1e-3"),
        ("BOOLEAN", "true"),
        ("VARCHAR", "'it''s, (odd'"),
        ("VARCHAR", "''"),
    ],
)
def test_a_default_is_declared_as_it_is_written(folder, kind, default):
    text = GOOD.replace("VARCHAR[] := NULL", f"{kind} := {default}")
    (query,) = queries.of_folder(folder(text.replace("names := NULL", f"names := {default}")))
    assert query.parameters[2].default == default


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("BOOLEAN", "TRUE"),
        ("INTEGER", "1 + 1"),
        ("VARCHAR[]", "['a', 'b']"),
        ("DATE", "DATE '2026-01-01'"),
        ("VARCHAR", "'say \"hi\"'"),
        ("VARCHAR", "'two  blanks'"),
    ],
)
def test_a_default_that_duckdb_spells_otherwise_is_declared_as_it_is_written(folder, kind, default):
    test_a_default_is_declared_as_it_is_written(folder, kind, default)


def test_a_parameter_that_is_not_declared_is_told(fault):
    lines = [line for line in GOOD.splitlines(keepends=True) if "for show" not in line]
    said = "`keep := NULL` where the macro has `names := NULL`"
    assert said in fault("".join(lines))


def test_the_last_parameter_that_is_not_declared_is_told(fault):
    lines = [line for line in GOOD.splitlines(keepends=True) if "CONDITION" not in line]
    message = fault("".join(lines))
    assert message.startswith("FILE:14: the header declares 3 parameters (model, k := 5, names")
    assert "the macro has 4" in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "CREATE OR REPLACE MACRO first_classes() AS TABLE SELECT 1;",
        "--\n--\nCREATE OR REPLACE MACRO first_classes() AS TABLE SELECT 1;",
        "/* The first. */\nCREATE OR REPLACE MACRO first_classes() AS TABLE SELECT 1;",
    ],
)
def test_a_file_without_a_header_is_told_what_one_is(fault, text):
    assert fault(text).startswith("FILE:1: no header; begin with a comment")


def test_a_header_without_an_example_is_told_the_form(fault):
    text = "".join(line for line in GOOD.splitlines(keepends=True) if "Example" not in line)
    assert "the header has no line `-- Example: FROM ...`" in fault(text)


def test_a_header_alone_is_no_query(fault):
    header = GOOD[: GOOD.index("CREATE")]
    assert "0 statements; a file holds one, CREATE OR REPLACE MACRO first_classes" in fault(header)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1;",
        "DROP TABLE classes;",
        "CREATE OR REPLACE VIEW first_classes AS SELECT 1;",
        "COPY (SELECT 1) TO 'out.csv';",
    ],
)
def test_a_statement_of_another_kind_is_refused_unrun(fault, tmp_path, monkeypatch, statement):
    monkeypatch.chdir(tmp_path)
    header = "-- A query.\n--\n-- Example: FROM first_classes()\n"
    message = fault(header + statement)
    assert message == "FILE:4: the statement is not CREATE OR REPLACE MACRO first_classes(...)"
    assert not (tmp_path / "out.csv").exists()


def test_a_scalar_macro_is_refused(fault):
    header = "-- A query.\n--\n-- Example: FROM first_classes()\n"
    message = fault(f"{header}CREATE OR REPLACE MACRO first_classes() AS 1;")
    assert message == "FILE:4: first_classes.sql must make the table macro first_classes"


def test_a_file_that_is_not_utf_8_is_named(fault):
    message = fault(GOOD.encode() + "-- café\n".encode("latin-1"))
    assert message.startswith("can't read FILE: ")
    assert "utf-8" in message


@pytest.mark.parametrize("name", ["neighbors", "Neighbors"])
def test_a_name_of_classrels_own_is_taken(fault, name):
    message = fault(GOOD.replace("first_classes", name), f"{name}.sql")
    assert message.startswith(f"FILE:1: there is a query {name} already, in ")
    assert message.endswith("neighbors.sql; rename it")


def test_two_files_of_one_name_but_for_case_are_refused(folder):
    path = folder(GOOD, **{"first_classeS.sql": GOOD.replace("first_classes", "first_classeS")})
    with pytest.raises(QueryFileError, match=r"rename it|must make"):
        queries.of_folder(path)


def test_a_name_may_have_capitals(folder):
    path = folder(GOOD.replace("first_classes", "FirstClasses"), "FirstClasses.sql")
    assert [query.name for query in queries.of_folder(path)] == ["FirstClasses"]


def test_the_words_create_macro_in_the_header_are_only_words(folder):
    text = GOOD.replace("class_idx is the", "CREATE MACRO makes it; class_idx is the")
    (query,) = queries.of_folder(folder(text))
    assert "CREATE OR REPLACE TEMP MACRO first_classes(" in queries.as_temporary(query)


def test_a_byte_order_mark_is_no_text(folder):
    (query,) = queries.of_folder(folder("\ufeff" + GOOD))
    assert query.name == "first_classes"


def test_a_folder_is_refused_for_its_one_bad_file(folder):
    path = folder(GOOD, **{"second.sql": "-- No example.\n"})
    with pytest.raises(QueryFileError, match=r"second\.sql:1: the header has no line"):
        queries.of_folder(path)
