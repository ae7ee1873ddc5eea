"""The tables of comparisons, tags and the concept map, by the functions that alone write them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from agreeing import add, made

import classrel_db
from classrel_db.records import StoredComparison
from classrel_db.storage import comparisons, read
from classrel_db.storage.database import Database
from classrel_db.storage.transaction import transaction

C = [f"c{i}" for i in range(6)]
ROW = StoredComparison(
    1, 2, "cka", "standardize", None, 6, 0.5, 0.25, 0.75, 0.001, 0.125, 999, 1000, 7
)  # fmt: skip


@pytest.fixture
def database(tmp_path):
    """Three models; the first two are of one label space."""
    path = tmp_path / "small.duckdb"
    with classrel_db.open(path) as catalog:
        add(
            catalog,
            tmp_path,
            made("one", C, seed=1),
            made("two", C, seed=2),
            made("three", C[1:], seed=3),
        )
        assert catalog.sql("SELECT model_id FROM models ORDER BY ALL").fetchall() == [
            (1,),
            (2,),
            (3,),
        ]
    opened = Database(path)
    yield opened
    opened.close()


@pytest.fixture
def store(database):
    def of(*rows):
        database.close()
        with database.writer() as connection, transaction(connection):
            comparisons.store_comparisons(connection, [comparisons.columns(rows)])

    return of


@pytest.fixture
def kept(database):
    return lambda: comparisons.stored_comparisons(database.reader())


def test_rows_come_back_as_they_were_stored(store, kept):
    empty = replace(
        ROW,
        measure="rsa-spearman",
        estimate=None,
        low=None,
        high=None,
        p_value=None,
        null_value=None,
    )
    near = replace(ROW, measure="knn-jaccard", k=25, seed=2**63 - 1)
    store(ROW, empty, near)
    assert sorted(kept(), key=lambda row: row.measure) == [ROW, near, empty]


def test_a_row_takes_the_place_of_the_same_comparison_alone(store, kept):
    others = [
        replace(ROW, measure="cka-debiased"),
        replace(ROW, normalization="center"),
        replace(ROW, k=5),
        replace(ROW, k=6),
        replace(ROW, model_a=1, model_b=3),
    ]
    store(ROW, *others)
    newer = replace(ROW, estimate=0.6, permutations=9999, seed=8)
    store(newer)
    assert set(kept()) == {newer, *others}
    at_five = replace(ROW, k=5, estimate=0.1)
    store(at_five)
    assert set(kept()) == {newer, at_five, *others[:2], *others[3:]}


def test_rows_of_models_that_are_gone_are_left_out(store, kept):
    store(ROW, replace(ROW, model_b=9), replace(ROW, model_a=9))
    assert kept() == [ROW]


def test_rows_that_begin_with_nothing_have_their_types(store, kept):
    """The first row's k is NULL, and so is all that is not defined."""
    bare = replace(ROW, estimate=None, low=None, high=None, p_value=None, null_value=None)
    store(bare)
    assert kept() == [bare]
    near = replace(ROW, k=3)
    store(bare, near)
    assert set(kept()) == {bare, near}


def test_many_rows_are_stored_at_once(store, kept):
    rows = [replace(ROW, k=k) for k in range(1, 3000)]
    store(*rows)
    assert set(kept()) == set(rows)
    store(*[replace(row, estimate=0.1) for row in rows])
    assert {row.estimate for row in kept()} == {0.1}
    assert len(kept()) == len(rows)


def test_more_rows_than_a_row_group_are_stored_in_one_transaction(database):
    """Of which DuckDB 2.0.0 may lose all, where they go through a temporary table."""
    n = 130_000
    many = {name: values * n for name, values in comparisons.columns([ROW]).items()}
    many["k"] = np.arange(n)
    for estimate in (0.25, 0.75):
        database.close()
        with database.writer() as connection, transaction(connection):
            batch = {**many, "estimate": np.full(n, estimate)}
            comparisons.store_comparisons(connection, [batch])
    found = database.reader().sql("SELECT count(*), min(k), max(k), min(estimate) FROM comparisons")
    assert found.fetchall() == [(n, 0, n - 1, 0.75)]


def test_a_failure_within_the_transaction_keeps_the_old_rows(database, store, kept):
    store(ROW)
    database.close()

    def fails_after_storing():
        with database.writer() as connection, transaction(connection):
            better = comparisons.columns([replace(ROW, estimate=0.9)])
            comparisons.store_comparisons(connection, [better])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_after_storing()
    assert kept() == [ROW]
    store(replace(ROW, estimate=0.8))  # no table is left over that stands in the way
    assert [row.estimate for row in kept()] == [0.8]


def test_the_map_takes_the_place_of_the_old_one_with_what_rests_on_it(database, store, kept):
    unlike = replace(ROW, model_b=3)
    store(ROW, unlike)
    database.close()
    with database.writer() as connection, transaction(connection):
        comparisons.replace_concept_map(connection, [("c0", "d0"), ("c1", "d1")])
    assert read.concept_map(database.reader()) == {"d0": "c0", "d1": "c1"}
    assert kept() == [ROW]
    database.close()
    with database.writer() as connection, transaction(connection):
        comparisons.replace_concept_map(connection, [])
    assert read.concept_map(database.reader()) == {}
    assert kept() == [ROW]


def test_tags_by_model_and_by_key(database):
    with database.writer() as connection, transaction(connection):
        comparisons.set_tags(connection, 1, {"family": "a", "year": "1"})
        comparisons.set_tags(connection, 3, {"family": "b"})
        comparisons.set_tags(connection, 1, {"family": "c", "year": "", "never": ""})
    reader = database.reader()
    assert comparisons.tag_keys(reader) == ["family"]
    assert comparisons.tag_values(reader, "family") == {1: "c", 3: "b"}
    assert comparisons.tag_values(reader, "year") == {}
    assert comparisons.tags(reader, [3, 1]).fetchall() == [
        ("one", "family", "c"),
        ("three", "family", "b"),
    ]
    assert comparisons.tags(reader, [2]).fetchall() == []


def test_concepts_come_by_class_and_models_by_concept(database):
    reader = database.reader()
    assert comparisons.concepts(reader, 3) == C[1:]
    assert comparisons.known_concepts(reader, ["c0", "c5", "zz"]) == {
        "c0": [(1, "one"), (2, "two")],
        "c5": [(1, "one"), (2, "two"), (3, "three")],
    }
