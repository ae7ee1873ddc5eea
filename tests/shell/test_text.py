"""What a line is: SQL or not, finished or not, its statements and its words."""

from __future__ import annotations

import shlex

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classrel_db.shell.text import is_complete, is_sql, scan, statements, words

# what SQL is made of, so that random texts are near it
PIECES = st.sampled_from(
    ["SELECT 1", "select", "FROM t", ";", "'", "''", '"', "--", "\n", "/*", "*/", "$$", "$a$", "$1",
     " ", "\t", "x", "é", "🦀", "\\", "(", ")", "E'", "a$b", "use"]
)  # fmt: skip
NEAR_SQL = st.lists(PIECES, max_size=25).map("".join)

WHOLE = {
    "plain": "SELECT 1",
    "quotes": "SELECT 'it''s; -- no' AS \"a;b\"",
    "doubled quotes": 'SELECT "a"";"',
    "dollar": "SELECT $$ ; ' $$",
    "dollar with a tag": "SELECT $x$ $$ ; $y$ $x$",
    "parameters": "SELECT $1, $2",
    "line comment": "SELECT 1 -- ; 'open\n, 2",
    "block comment": "SELECT 1 /* ; ' \n $$ -- */, 2",
    "backslash": "SELECT 'a\\'",
    "brackets": "(SELECT 1)",
    "emoji": "SELECT '🦀;'",
}


@given(NEAR_SQL)
def test_scan_reads_any_text(text):
    found = scan(text)
    assert 0 <= found.opened <= len(text)
    assert list(found.ends) == sorted(set(found.ends))
    assert all(text[end - 1] == ";" for end in found.ends)
    if found.inside:
        assert found.opened < len(text)
        mark = text[found.opened :]
        assert mark.startswith("$" if found.inside == "$" else found.inside)
        assert all(end <= found.opened for end in found.ends)
    else:
        assert found.opened == len(text)


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text):
    scan(text)
    is_sql(text)
    is_complete(text)
    statements(text)
    words(text)


@given(NEAR_SQL)
def test_statements_are_parts_of_the_text_in_order(text):
    place = 0
    for line, part in statements(text):
        assert part == part.strip()
        place = text.index(part, place)
        assert text.count("\n", 0, place) == line
        place += len(part)


@given(st.lists(st.sampled_from(sorted(WHOLE.values())), min_size=1, max_size=6))
def test_statements_that_are_joined_come_apart_again(parts):
    text = "\n".join(f"{part};" for part in parts)
    assert [part for _, part in statements(text)] == [f"{part};" for part in parts]
    assert is_complete(text)
    assert len(duckdb.connect().extract_statements(text)) == len(parts)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_needs_only_its_semicolon(name):
    text = WHOLE[name]
    assert is_sql(text)
    assert not is_complete(text)
    assert is_complete(f"{text};")
    assert is_complete(f"{text} ;  \n")
    assert is_complete(f"{text}; -- the end")
    assert is_complete(f"{text}; /* the end */")
    assert not is_complete(f"{text}; SELECT 2")
    assert scan(f"{text};").ends == (len(text) + 1,)
    assert len(duckdb.connect().extract_statements(f"{text};")) == 1


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("SELECT 'open;", "'"),
        ("SELECT 'it''s;", "'"),
        ('SELECT "open;', '"'),
        ("SELECT $$open;", "$"),
        ("SELECT $a$ $b$ $$ ;", "$"),
        ("SELECT /* open;", "/*"),
        ("SELECT 1; -- open;", "--"),
        ("SELECT 1; ' -- ;", "'"),
    ],
)
def test_what_is_open_is_told(text, inside):
    found = scan(text)
    assert found.inside == inside
    assert text[found.opened :].startswith(inside if inside != "$" else "$")
    assert is_complete(text) is (inside == "--")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 /* a /* b */ ; c */;",
        "SELECT /* /* */ ' */ 1;",
        "SELECT 1 /* /* /* ; */ ; */ ; */;",
    ],
)
def test_comments_nest_as_duckdb_has_it(text):
    assert len(duckdb.connect().extract_statements(text)) == 1
    assert len(scan(text).ends) == 1
    assert is_complete(text)


@pytest.mark.parametrize("text", ["SELECT E'it\\'s';", "SELECT e'a\\';\\'b';"])
def test_a_string_with_escapes_ends_where_duckdb_has_it(text):
    assert len(duckdb.connect().extract_statements(text)) == 1
    assert len(scan(text).ends) == 1
    assert is_complete(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", True),
        ("  select 1", True),
        ("FROM models", True),
        ("(SELECT 1)", True),
        ("with x as (select 1) from x", True),
        ("-- first\n  /* then */ FROM models", True),
        ("/* a\nb */ FROM models", True),
        ("PRAGMA x", True),
        ("DESCRIBE models", True),
        ("similar tench", False),
        ("models", False),
        ("use alpha", False),
        ("\\d models", False),
        ("fromage", False),
        ("selected classes", False),
        ("", False),
        (";", False),
        ("é", False),
        ("1", False),
    ],
)
def test_sql_begins_with_one_of_its_words(text, expected):
    assert is_sql(text) is expected


@pytest.mark.parametrize(
    "text", ["similar tench", "models", "\\d", "", "  ", "nothing at all", "use a"]
)
def test_a_command_waits_for_nothing(text):
    assert is_complete(text)


def test_a_comment_before_the_first_word_may_go_over_lines():
    assert not is_complete("/* what follows")
    assert not is_complete("/* what follows\nis SQL")


def test_statements_have_the_numbers_of_their_lines():
    text = "SELECT 1;\n\n-- two\nSELECT\n2; SELECT 3;\n;\n-- end\n"
    assert statements(text) == [
        (0, "SELECT 1;"),
        (2, "-- two\nSELECT\n2;"),
        (4, "SELECT 3;"),
    ]


def test_what_is_left_without_a_semicolon_is_a_statement_too():
    assert statements("SELECT 1; SELECT 2") == [(0, "SELECT 1;"), (0, "SELECT 2")]


@pytest.mark.parametrize("text", ["", " ", ";", " ; ;\n", "-- only this", "/* this */;"])
def test_nothing_is_no_statement(text):
    assert statements(text) == []


# words


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1), max_size=5)
)
def test_words_are_those_of_a_shell(parts):
    line = f"{shlex.join(parts)} "
    found = words(line)
    assert list(found.finished) == shlex.split(line) == parts
    assert (found.unfinished, found.quote, found.start) == ("", "", len(line))


@given(NEAR_SQL)
def test_the_unfinished_word_begins_where_it_is_said(text):
    found = words(text)
    assert 0 <= found.start <= len(text)
    again = words(text[: found.start])
    assert again.finished == found.finished
    assert again.unfinished == ""
    if found.quote:
        assert found.quote in text[found.start :]


@pytest.mark.parametrize(
    ("text", "finished", "unfinished", "quote", "start"),
    [
        ("", (), "", "", 0),
        ("sim", (), "sim", "", 0),
        ("similar ", ("similar",), "", "", 8),
        ("similar Dun", ("similar",), "Dun", "", 8),
        ("similar 'Dungeness cr", ("similar",), "Dungeness cr", "'", 8),
        ("similar \"it's", ("similar",), "it's", '"', 8),
        ('similar "say \\"hi', ("similar",), 'say "hi', '"', 8),
        ("similar 'a b' ", ("similar", "a b"), "", "", 14),
        ("similar a\\ b", ("similar",), "a b", "", 8),
        ("similar ''", ("similar",), "", "", 8),
        ("similar '' ", ("similar", ""), "", "", 11),
        ("query neighbors class='Dung", ("query", "neighbors"), "class=Dung", "'", 16),
        ("similar\t 'x'y", ("similar",), "xy", "", 9),
    ],
)
def test_words_of_a_line_that_is_being_written(text, finished, unfinished, quote, start):
    found = words(text)
    assert (found.finished, found.unfinished, found.quote, found.start) == (
        finished, unfinished, quote, start,
    )  # fmt: skip
