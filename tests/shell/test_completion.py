"""What the Tab key offers, place by place."""

from __future__ import annotations

import random
import shlex

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import classrel_db
from classrel_db.cli import app
from classrel_db.shell.completion import Labels, Names, complete
from classrel_db.shell.session import Session

from .conftest import LABELS, MODELS


@pytest.fixture
def offered(session):
    """The candidates for a text, as the lines that they would make."""

    def of(text):
        return [text[: c.start] + c.text for c in complete(text, Names(session))]

    return of


@pytest.fixture
def texts(session):
    """The candidates for a text, alone."""

    def of(text):
        return [c.text for c in complete(text, Names(session))]

    return of


# the first word


def test_an_empty_line_offers_the_commands(texts):
    found = texts("")
    assert found[:3] == ["ingest", "zoo", "models"]
    assert {"similar", "query", "sql", "use", "help", "exit"} <= set(found)
    assert "shell" not in found


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("sim", "similar"),
        ("SIM", "similar"),
        ("mod", "models"),
        ("us", "use"),
        ("sel", "select"),
        ("SEL", "SELECT"),
        ("Sel", "SELECT"),
        ("  fro", "  from"),
        ("desc", "describe"),
        ("\\", "\\d"),
    ],
)
def test_the_first_word_is_a_command_or_sql(offered, text, first):
    assert first in offered(text)


@pytest.mark.parametrize("text", ["similar", "nosuchthing", "-", "🦀"])
def test_nothing_is_offered_for_what_is_whole_or_unknown(texts, text):
    assert texts(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\d", {"\\dm"}),
        ("\\ti", {"\\timing"}),
        ("\\d mod", {"\\d models", "\\d model_summary"}),
        ("\\dm rank", {"\\dm rank_shift"}),
        ("\\format mark", {"\\format markdown"}),
        ("\\last pa", {"\\last parquet"}),
        ("\\explain SELECT * FROM mod", {"\\explain SELECT * FROM models"}),
        ("\\watch 1 FROM mod", {"\\watch 1 FROM models"}),
    ],
)
def test_what_begins_with_a_backslash_is_completed(offered, text, expected):
    found = offered(text)
    assert expected <= set(found)
    assert all(line.startswith("\\") for line in found)


@pytest.mark.parametrize(
    ("text", "expected"), [("help ke", "help keys"), ("\\help rank", "\\help rank_shift")]
)
def test_help_offers_its_topics(offered, text, expected):
    assert expected in offered(text)


# commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("use ", ["use alpha", "use beta"]),
        ("use BE", ["use beta"]),
        ("use ta", ["use beta"]),
        ("use 'al", ["use 'alpha'"]),
        ("info ", ["info alpha", "info beta"]),
        ("classes al", ["classes alpha"]),
        ("remove be", ["remove beta"]),
        ("similar dog -m ", ["similar dog -m alpha", "similar dog -m beta"]),
        ("similar dog --model be", ["similar dog --model beta"]),
        ("similar -m alpha --w", ["similar -m alpha --where"]),
        ("consensus dog --exclude be", ["consensus dog --exclude beta"]),
        ("similar dog --for", ["similar dog --format"]),
        ("similar dog -f js", ["similar dog -f json", "similar dog -f jsonl"]),
        ("ingest x --pairs a", ["ingest x --pairs auto", "ingest x --pairs all"]),
        ("query nei", ["query neighbors"]),
        ("query rank", ["query rank_shift"]),
        ("query neighbors mod", ["query neighbors model="]),
        ("query neighbors model=al", ["query neighbors model=alpha"]),
        ("query neighbors alpha k", ["query neighbors alpha k=", "query neighbors alpha keep="]),
        ("query model_summary models=alpha,b", ["query model_summary models=alpha,beta"]),
        ("query neighbors class=Dung", ["query neighbors 'class=Dungeness crab'"]),
        ("query nosuch mod", []),
        ("similar dog -k ", []),
        ("similar dog --where ", []),
        ("nosuch dog", []),
    ],
)
def test_a_command_offers_what_fits_its_place(offered, text, expected):
    assert offered(text) == expected


def test_options_are_told_apart_from_arguments(texts):
    found = texts("similar dog -")
    assert {"--model", "--self", "--where", "--db", "--format", "--output"} <= set(found)
    assert all(each.startswith("--") for each in found)


def test_files_are_offered_where_a_file_is_wanted(offered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my labels.csv").touch()
    (tmp_path / "head.npz").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "folder").mkdir()
    assert offered("ingest ") == ["ingest folder/", "ingest head.npz", "ingest 'my labels.csv'"]
    assert offered(f"models -o {tmp_path}/he") == [f"models -o {tmp_path}/head.npz"]
    assert offered("ingest .hi") == ["ingest .hidden"]
    assert offered("ingest none/") == []


# class labels


def line_of(label, quote=""):
    """What is typed when the label is begun."""
    return f"similar {quote}{label[:4]}"


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_label_is_one_word_in_the_quotes_that_it_needs(offered, label, quote):
    begun = label[:2] if not quote else label[:4]
    if any(character in begun for character in " '\"\\-;"):
        begun = ""  # these would have to be quoted to be begun with
    lines = offered(f"similar {quote}{begun}")
    words = [[word.strip() for word in shlex.split(line)] for line in lines]  # as a class is
    assert ["similar", label] in words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("similar Dung", "similar 'Dungeness crab'"),
        ("similar 'Dung", "similar 'Dungeness crab'"),
        ('similar "Dung', 'similar "Dungeness crab"'),
        ("similar DUNG", "similar 'Dungeness crab'"),
        ("similar österr", "similar Österreich"),
        ("similar jack", 'similar "jack-o\'-lantern"'),
        ("similar 'jack", 'similar "jack-o\'-lantern"'),
        ("similar crab", "similar 'king crab'"),
        ("similar 🦀", "similar '🦀 crab'"),
        ("similar -m alpha Dung", "similar -m alpha 'Dungeness crab'"),
        ("similar 'dungenes crb", "similar 'Dungeness crab'"),
        ("similar kingcrab", "similar 'king crab'"),
    ],
)
def test_a_label_is_found_by_its_beginning_a_part_or_a_near_spelling(offered, text, line):
    assert line in offered(text)


def test_a_label_that_looks_like_an_option_can_be_asked(offered, session):
    """Typed as it is offered, it is the class and not an option."""
    line = next(line for line in offered("similar d") if "dash" in line)
    result = session.handle(f"{line} -k 2")
    assert (result.code, result.error) == (0, "")


def test_labels_that_begin_with_it_come_first(texts):
    assert texts("similar do")[0] == "dog"
    assert texts("similar crab")[0] in {"'king crab'", "'Dungeness crab'", "'🦀 crab'"}
    assert texts("similar dog")[:2] == ["dog", "'hot dog'"]


@pytest.fixture(scope="session")
def two_spaces(tmp_path_factory):
    """Two models with no label in common."""
    folder = tmp_path_factory.mktemp("spaces")
    with classrel_db.open(folder / "x.duckdb") as catalog:
        for name in ("birds", "fish"):
            weight = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
            np.savez(folder / f"{name}.npz", weight=weight, labels=[f"{name} {i}" for i in "abc"])
            catalog.ingest(folder / f"{name}.npz")
    return folder / "x.duckdb"


def test_labels_are_those_of_the_model_that_is_asked(two_spaces):
    with classrel_db.open(two_spaces) as catalog:
        session = Session(app, catalog)

        def found(text):
            return [c.display for c in complete(text, Names(session))]

        assert found("similar -m fish ") == ["fish a", "fish b", "fish c"]
        assert len(found("similar ")) == 6
        session.handle("use birds")
        assert found("similar ") == ["birds a", "birds b", "birds c"]
        assert found("similar -m fish ") == ["fish a", "fish b", "fish c"]
        assert found("FROM nearest WHERE class = '") == ["birds a", "birds b", "birds c"]


# SQL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM mod", "FROM models"),
        ("from MOD", "from models"),
        ("SELECT 1 FROM models JOIN cl", "SELECT 1 FROM models JOIN classes"),
        ("DESCRIBE near", "DESCRIBE nearest"),
        ("SUMMARIZE pair", "SUMMARIZE pairwise"),
        ("FROM neigh", "FROM neighbors("),
        ("SELECT * FROM rank_s", "SELECT * FROM rank_shift("),
        ('FROM "mod', "FROM models"),
        ("SELECT * FROM (FROM mod", "SELECT * FROM (FROM models"),
        ("SELECT 1; FROM mod", "SELECT 1; FROM models"),
        ("-- which\nFROM mod", "-- which\nFROM models"),
        ("SELECT *\nFROM models\nWHERE norm", "SELECT *\nFROM models\nWHERE normalization"),
        ("FROM models WHERE n_cl", "FROM models WHERE n_classes"),
        ("SELECT * FROM classes AS c WHERE c.lab", "SELECT * FROM classes AS c WHERE c.label"),
        ("SELECT * FROM classes WHERE classes.lab", "SELECT * FROM classes WHERE classes.label"),
        ("FROM neighbors('alpha', 'dog', k", "FROM neighbors('alpha', 'dog', k := "),
        ("FROM neighbors('alpha', 'dog', k := 3, ke", "FROM neighbors('alpha', 'dog', k := 3, keep := "),
        ("FROM hubs(", "FROM hubs(models := "),
        ("FROM models ORD", "FROM models ORDER"),
        ("FROM models ord", "FROM models order"),
        ("SELECT list_tr", "SELECT list_transform("),
        ("SELECT eucl", "SELECT euclidean"),
        ("FROM neighbors('", "FROM neighbors('alpha'"),
        ("FROM neighbors('al", "FROM neighbors('alpha'"),
        ("FROM neighbors('alpha', '", "FROM neighbors('alpha', 'dog'"),
        ("FROM neighbors('alpha', 'Dung", "FROM neighbors('alpha', 'Dungeness crab'"),
        ("FROM neighbors('alpha', 'jack", "FROM neighbors('alpha', 'jack-o''-lantern'"),
        ("FROM nearest WHERE class = 'dunge", "FROM nearest WHERE class = 'Dungeness crab'"),
        ("FROM nearest WHERE class IN ('dog', 'dunge",
         "FROM nearest WHERE class IN ('dog', 'Dungeness crab'"),
        ("FROM nearest WHERE model IN ('alpha') AND class = 'Dung",
         "FROM nearest WHERE model IN ('alpha') AND class = 'Dungeness crab'"),
        ("FROM nearest WHERE neighbor <> 'hotdog", "FROM nearest WHERE neighbor <> 'hot dog'"),
        ("FROM nearest WHERE model = '", "FROM nearest WHERE model = 'alpha'"),
        ("FROM nearest WHERE model IN ('alpha', '", "FROM nearest WHERE model IN ('alpha', 'beta'"),
        ("FROM hubs(models := ['", "FROM hubs(models := ['alpha'"),
        ("FROM hubs(models := ['alpha', 'b", "FROM hubs(models := ['alpha', 'beta'"),
    ],
)  # fmt: skip
def test_sql_offers_what_fits_its_place(offered, text, expected):
    assert expected in offered(text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("FROM neighbors('alpha', 'dog', k", "k := "),
        ("FROM neighbors('alpha', 'jack", "'jack-o''-lantern'"),
        ("FROM nearest WHERE model = '", "'alpha'"),
        ("FROM classes WHERE la", "label"),
        ("FROM classes WHERE cl", "class_idx"),
        ("FROM mod", "models"),
    ],
)
def test_what_fits_best_comes_first(texts, text, first):
    assert texts(text)[0] == first


def test_after_a_model_only_models_are_offered(texts):
    assert texts("FROM nearest WHERE model = '") == ["'alpha'", "'beta'"]
    assert texts("FROM hubs(models := ['") == ["'alpha'", "'beta'"]


@pytest.mark.parametrize(
    "text",
    [
        "FROM nearest WHERE model = 'alpha' AND class = 'Dung",
        "SELECT model, class FROM nearest WHERE model = 'alpha' OR neighbor = 'Dung",
    ],
)
def test_a_label_is_offered_after_a_model_was_named(texts, text):
    assert "'Dungeness crab'" in texts(text)


def test_only_columns_of_the_tables_in_use_are_offered(session):
    found = [
        c.text
        for c in complete("SELECT n FROM models WHERE n", Names(session))
        if c.meta == "column"
    ]
    assert found == ["name", "normalization", "n_classes", "n_pairs"]


def test_a_parameter_that_is_given_is_not_offered_again(texts):
    found = texts("FROM neighbors('alpha', 'dog', k := 3, k")
    assert "k := " not in found
    assert "keep := " in found


@pytest.mark.parametrize(
    "text", ["SELECT 1 -- FROM mod", "SELECT /* mod", "SELECT $$ mod", "SELECT $a$ FROM mod"]
)
def test_nothing_is_offered_in_a_comment_or_a_dollar_string(texts, text):
    assert texts(text) == []


@pytest.mark.parametrize("text", ["FROM classes WHERE la", "FROM models WHERE na"])
def test_nothing_is_offered_twice(texts, text):
    found = texts(text)
    assert len(found) == len(set(found))


def test_a_temporary_table_is_offered(session, texts):
    session.handle("CREATE TEMP TABLE my_own AS SELECT 1 AS my_column;")
    assert "my_own" in texts("FROM my_o")


def test_own_queries_are_offered(small, tmp_path):
    (tmp_path / "mine.sql").write_text(
        "-- Mine.\n--\n-- top  INTEGER := 1  how many\n--\n-- Example: FROM mine()\n"
        "CREATE OR REPLACE MACRO mine(top := 1) AS TABLE SELECT 1 LIMIT top;\n"
    )
    with classrel_db.open(small, queries=tmp_path) as catalog:
        names = Names(Session(app, catalog))
        assert [c.text for c in complete("query mi", names)] == ["mine"]
        assert "mine(" in [c.text for c in complete("FROM mi", names)]
        assert "top := " in [c.text for c in complete("FROM mine(to", names)]


PARTS = st.sampled_from(
    ["similar ", "query ", "neighbors", " class=", "FROM ", "neighbors(", "'", '"', "Dung", " ", "\\d ", ",",
     "SELECT ", " WHERE ", "model = ", "(", ")", "\n", ";", "--", "-m ", "alpha", "é", "$$", "\\"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS, max_size=12).map("".join))
def test_every_candidate_takes_the_place_of_the_end_of_the_text(session, text):
    for candidate in complete(text, Names(session)):
        assert 0 <= candidate.start <= len(text)
        assert candidate.text


# many labels


@pytest.fixture(scope="module")
def many():
    """22,000 labels, made of words so that many are alike."""
    chooser = random.Random(0)
    words = [
        "crab",
        "king",
        "red",
        "blue",
        "Dungeness",
        "warbler",
        "dog",
        "house",
        "tree",
        "lily",
        "sea",
    ]
    found = dict.fromkeys(
        f"{chooser.choice(words)} {chooser.choice(words)} {number:05d}" for number in range(21_998)
    )
    return [*found, "jack-o'-lantern", "Ångström's oddity"]


def test_among_22_000_labels_the_right_ones_are_found(many):
    labels = Labels(many)
    assert len(many) == 22_000
    for part in ("dungeness w", "DUNGENESS", "king c", "lily"):
        found = labels.find(part)
        naive = [label for label in many if label.casefold().startswith(part.casefold())]
        assert found == sorted(naive, key=len)[:60]
    for label in (many[0], many[12_345], many[-3]):
        assert labels.find(label)[0] == label
        assert labels.find(label.upper())[0] == label
        assert label in labels.find(label[1:])
    assert labels.find("jack-o-lantern")[0] == "jack-o'-lantern"
    assert labels.find("angstroms oddity")[0] == "Ångström's oddity"
    assert labels.find("zzzzqqqq") == []
    assert len(labels.find("")) == 60


def test_a_part_is_found_before_a_near_spelling():
    labels = Labels(["hot dog", "dog", "dogs", "underdog", "dig", "cat"])
    assert labels.find("dog") == ["dog", "dogs", "hot dog", "underdog", "dig"]
    assert labels.find("do") == ["dog", "dogs", "hot dog", "underdog"]


def test_labels_are_given_as_they_are_stored():
    labels = Labels(["Straße", "İstanbul", "ǅ"])
    assert labels.find("strasse") == ["Straße"]
    assert labels.find("İ")[0] == "İstanbul"


def test_models_are_those_that_are_stored(texts):
    assert texts("use ") == list(MODELS)
