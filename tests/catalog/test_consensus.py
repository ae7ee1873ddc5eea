"""`Catalog.consensus`, what it refuses, and classes whose concepts are declared the same."""

from __future__ import annotations

import math

import duckdb
import numpy as np
import pytest
from oracle import REAL

import classrel_db
from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    StatementError,
    UnknownClassError,
    UnknownModelError,
)

LITE0, LITE1, LITE2 = REAL


def ingest(catalog, folder, name, labels, concepts=None, **options):
    head, names = folder / f"{name}.npz", folder / f"{name}.csv"
    np.savez(head, weight=np.random.default_rng(len(name)).normal(size=(len(labels), 6)))
    rows = zip(labels, concepts or [""] * len(labels), strict=True)
    names.write_text("label,concept\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8")
    catalog.ingest(head, labels=names, **options)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Three standardised heads, of which one knows other classes, and a centred one."""
    folder = tmp_path_factory.mktemp("mixed")
    with classrel_db.open(folder / "classrel.duckdb") as catalog:
        for name, first in {"one": 0, "two": 2, "far": 50, "centred": 0}.items():
            labels = [f"species {i:02d}" for i in range(first, first + 9)]
            way = "center" if name == "centred" else "standardize"
            ingest(catalog, folder, name, labels, normalize=way)
        yield catalog


def test_the_weighted_mean_of_some_models(catalog, heads):
    rows = catalog.consensus(
        "Dungeness crab", models=[LITE2, LITE1, LITE0], exclude=LITE1, weights={LITE2: 3}, k=999
    ).fetchall()
    z = {name: np.arctanh(np.delete(heads[name].cosine[118], 118)) for name in REAL}
    expected = np.tanh((z[LITE0] + 3 * z[LITE2]) / 4)
    np.testing.assert_allclose([row[5] for row in rows], np.sort(expected)[::-1], atol=1e-7)
    assert {row[4] for row in rows} == {2}


def answered(rows):
    return [
        tuple(round(x, 9) if isinstance(x, float) else x for x in row) for row in rows.fetchall()
    ]


@pytest.mark.parametrize("given", ["Dungeness crab", "dungeness", "n01978287", "118", 118])
def test_a_class_is_named_as_elsewhere(catalog, given):
    by_label = catalog.query("consensus", "Dungeness crab", k=7)
    assert answered(catalog.consensus(given, k=7)) == answered(by_label)


def test_a_condition_and_a_default_of_25(catalog):
    assert len(catalog.consensus("tench").fetchall()) == 25
    dogs = catalog.consensus("tench", where="label ILIKE '%dog%' -- only they").fetchall()
    assert 5 < len(dogs) < 25
    assert all("dog" in row[2].lower() for row in dogs)


def test_only_what_counts_is_asked(mixed):
    # the centred model would have no mean with the others; a weight of 0 leaves it out, too
    found = answered(mixed.consensus("species 03", exclude=["centred"]))
    assert found == answered(mixed.consensus("species 03", models=["one", "two"]))
    assert found == answered(mixed.consensus("species 03", weights={"centred": 0, "two": 1}))
    assert {row[4] for row in found} == {1, 2}
    both = mixed.consensus("species 03", exclude="centred", least=2).fetchall()
    assert {row[4] for row in both} == {2}
    assert mixed.consensus("species 55").fetchall()  # only one model knows it, however the rest are


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({}, ArgumentError, "normalised in different ways (center: centred; standardize: one, two)"),
        ({"exclude": "cntred"}, UnknownModelError, 'no model "cntred"'),
        ({"weights": {"onne": 2}}, UnknownModelError, 'did you mean "one"'),
        ({"models": "thre"}, UnknownModelError, 'no model "thre"'),
        ({"models": "one", "exclude": "one"}, ArgumentError, "all models asked are excluded"),
        ({"exclude": ["one", "two", "far", "centred"]}, ArgumentError, "4 of 4; leave one to ask"),
        ({"models": ["one", "far"]}, UnknownClassError, 'no class "species 03" in far'),
        ({"models": "one", "weights": {"two": 1}}, ArgumentError, "a weight for two, which is not"),
        ({"models": "one", "weights": {"one": -1}}, ArgumentError, "the weight of one is -1"),
        ({"models": "one", "weights": {"one": math.nan}}, ArgumentError, "one is nan; a weight is"),
        ({"models": "one", "weights": {"one": math.inf}}, ArgumentError, "one is inf; a weight is"),
        ({"models": "one", "weights": {"one": "2"}}, ArgumentError, "one is '2'; a weight is"),
        ({"models": "one", "weights": {"one": True}}, ArgumentError, "one is True; a weight is"),
        ({"models": "one", "weights": {"one": 0}}, ArgumentError, "every weight is 0"),
        ({"models": "one", "k": 0}, ArgumentError, "k is 0; it is a whole number from 1 on"),
        ({"models": "one", "k": 2.5}, ArgumentError, "k is 2.5; it is a whole number"),
        ({"models": "one", "k": True}, ArgumentError, "k is True"),
        ({"models": "one", "least": 0}, ArgumentError, "least is 0; it is a whole number"),
        ({"models": ["one", "two"], "least": 3}, ArgumentError, "so least is from 1 to 2"),
        ({"models": "one", "where": 3}, ArgumentError, "where is an SQL condition as text, not 3"),
        ({"models": "one", "where": " "}, ArgumentError, "where is an SQL condition as text"),
        ({"models": "one", "where": "weight > 1"}, StatementError, "no condition on classes"),
    ],
    ids=str,
)  # fmt: skip
def test_what_has_no_consensus_is_refused(mixed, given, kind, said):
    with pytest.raises(kind) as raised:
        mixed.consensus("species 03", **given)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [("specis 03", UnknownClassError), ("species", AmbiguousClassError), (None, ArgumentError),
     (99, UnknownClassError), ("species 01 + species 02", UnknownClassError)],
)  # fmt: skip
def test_what_is_no_class_is_refused(mixed, asked, kind):
    with pytest.raises(kind):
        mixed.consensus(asked, exclude="centred")


def test_the_named_query_too_knows_which_models_it_excludes(mixed):
    rows = mixed.query("consensus", "species 03", exclude=["centred"], least="2")
    assert answered(rows) == answered(mixed.consensus("species 03", exclude="centred", least=2))
    with pytest.raises(UnknownModelError, match="cntred"):
        mixed.query("consensus", "species 03", exclude=["cntred"])
    with pytest.raises(ArgumentError, match="all models asked are excluded"):
        mixed.query("consensus", "species 03", models=["one"], exclude=["one"])


# concepts that are declared the same


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """Two models with ids of their own for the same birds, and one that has some of both."""
    folder = tmp_path_factory.mktemp("mapped")
    path = folder / "classrel.duckdb"
    with classrel_db.open(path) as catalog:
        for name, rows in {
            "wordnet": [("robin", "n1"), ("wren", "n2"), ("crow", "n3"), ("finch", "n4")],
            "taxa": [("robin", "t1"), ("Troglodytes", "t2"), ("jackdaw", "t3"), ("owl", "t5")],
            "both": [("wren", "n2"), ("winter wren", "t2"), ("crow", "t3"), ("robin", "n1")],
        }.items():
            ingest(catalog, folder, name, *map(list, zip(*rows, strict=True)))
        ingest(catalog, folder, "plain", ["Snowy owl", "dodo", "auk"])
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "INSERT INTO concept_map VALUES ('n1', 't1'), ('n2', 't2'), ('t5', 'snowy owl')"
        )
    with classrel_db.open(path) as catalog:
        yield catalog


def classes(catalog, asked, **given):
    return dict(catalog.similar(asked, k=1, **given).project("model, class").fetchall())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # one label, two ids: no longer two classes
        ("robin", {"wordnet": "robin", "taxa": "robin", "both": "robin"}),
        ("n1", {"wordnet": "robin", "taxa": "robin", "both": "robin"}),
        ("t1", {"wordnet": "robin", "taxa": "robin", "both": "robin"}),
        # other labels, and a model that tells the two apart
        ("n2", {"wordnet": "wren", "taxa": "Troglodytes", "both": "wren"}),
        ("wren", {"wordnet": "wren", "taxa": "Troglodytes", "both": "wren"}),
        ("t2", {"wordnet": "wren", "taxa": "Troglodytes", "both": "winter wren"}),
        ("Troglod", {"wordnet": "wren", "taxa": "Troglodytes", "both": "wren"}),
        # a class without an id
        ("snowy owl", {"taxa": "owl", "plain": "Snowy owl"}),
        ("t5", {"taxa": "owl", "plain": "Snowy owl"}),
        # not declared: as ever
        ("n3", {"wordnet": "crow"}),
        ("jackdaw", {"taxa": "jackdaw", "both": "crow"}),
    ],
)
def test_concepts_that_are_declared_the_same_name_one_class(mapped, asked, expected):
    assert classes(mapped, asked) == expected
    found = mapped.consensus(asked, k=9).fetchall()
    own = {
        "snowy owl": "t5",
        "t5": "t5",
        "n1": "n1",
        "t1": "n1",
        "n2": "n2",
        "t2": "n2",
        "n3": "n3",
        "t3": "t3",
    }
    known = {"n1", "n2", "n3", "n4", "t3", "t5", "dodo", "auk"}
    assert {row[3] for row in found} <= known - {own.get(asked)}
    assert max(row[4] for row in found) <= len(expected)
    # each but the one that shares all its classes holds the extremes of one
    assert {name for row in found for name in row[9:]} >= expected.keys() - {"both"}


def test_a_model_alone_answers_to_the_other_name(mapped):
    assert classes(mapped, "n2", models="taxa") == {"taxa": "Troglodytes"}
    assert classes(mapped, "t1", models="wordnet") == {"wordnet": "robin"}
    assert [row[0] for row in mapped.consensus("n2", models="taxa", k=1).fetchall()] == [
        "Troglodytes"
    ]
    with pytest.raises(UnknownClassError):
        mapped.similar("n4", models="taxa")
    with pytest.raises(AmbiguousClassError, match="2 classes"):
        mapped.similar("crow")  # n3 and t3 have not been declared the same
