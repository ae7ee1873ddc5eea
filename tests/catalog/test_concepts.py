"""A class is one concept: how a label, an index or a part is carried over several models."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest

import classrel_db
from classrel_db.errors import AmbiguousClassError, ArgumentError, UnknownClassError


@pytest.fixture
def birds(tmp_path, make_head):
    """Two models of the same species under other names, and a third without ids."""
    rows = {
        "english": [("crane", "grus"), ("finch", "fringilla"), ("wren", "troglodytes")],
        "german": [("Zaunkönig", "troglodytes"), ("Kranich", "grus"), ("Fink", "fringilla")],
        "plain": [("crane", ""), ("digger", ""), ("1", "")],
        "machines": [("crane", "hoist"), ("lorry", "lkw"), ("tram", "tram line")],
    }
    path = tmp_path / "birds.duckdb"
    with classrel_db.open(path) as catalog:
        for seed, (name, classes) in enumerate(rows.items()):
            table = tmp_path / f"{name}-labels.csv"
            with table.open("w", newline="") as file:
                csv.writer(file).writerows([("label", "concept"), *classes])
            head = make_head(name=name, n_classes=3, seed=seed)
            catalog.ingest(head.path, labels=table, name=name)
        yield catalog


def focal(answer):
    return {(row[0], row[1]) for row in answer.fetchall()}


def test_a_label_is_followed_by_its_concept_into_models_that_call_it_otherwise(birds):
    found = focal(birds.similar("crane", models=["english", "german"]))
    assert found == {("english", "crane"), ("german", "Kranich")}


def test_a_class_without_an_id_is_the_same_as_its_label(birds):
    found = focal(birds.similar("crane", models=["english", "german", "plain"]))
    assert found == {("english", "crane"), ("german", "Kranich"), ("plain", "crane")}


@pytest.mark.parametrize("query", ["crane", "Crane", "grus", "kranich", "Kran"])
def test_a_class_is_the_same_however_it_is_asked_for(birds, query):
    found = focal(birds.similar(query, models=["english", "german", "plain"]))
    assert found == {("english", "crane"), ("german", "Kranich"), ("plain", "crane")}


def test_two_concepts_under_one_label_are_ambiguous_and_both_named(birds):
    with pytest.raises(AmbiguousClassError, match=r"grus.*english.*hoist.*machines"):
        birds.similar("crane")
    # an id is one concept; the class without an id goes with its label
    assert focal(birds.similar("grus")) == {
        ("english", "crane"),
        ("german", "Kranich"),
        ("plain", "crane"),
    }


def test_an_index_is_one_class_only_where_the_label_space_is_one(birds):
    with pytest.raises(AmbiguousClassError):
        birds.similar(0, models=["english", "german"])
    assert focal(birds.similar(0, models="german")) == {("german", "Zaunkönig")}


def test_an_int_is_an_index_and_a_text_is_a_label_first(birds):
    assert focal(birds.similar(1, models="plain")) == {("plain", "digger")}
    assert focal(birds.similar("1", models="plain")) == {("plain", "1")}


@pytest.mark.parametrize("query", ["1e0", "1.0", "0x1", "+1", "²", "1_0"])
def test_only_digits_are_an_index(birds, query):
    with pytest.raises(UnknownClassError):
        birds.similar(query, models="english")


@pytest.mark.parametrize("query", [1.0, True, b"crane", ["crane"]])
def test_a_class_is_text_or_an_int(birds, query):
    with pytest.raises(ArgumentError):
        birds.similar(query)


def test_letters_composed_in_either_way_are_the_same(birds):
    assert focal(birds.similar("Zaunko\u0308nig")) == focal(birds.similar("zaunkönig"))


def test_the_macro_refuses_a_label_of_two_classes(birds, tmp_path, make_head):
    import duckdb

    table = tmp_path / "two-labels.csv"
    table.write_text("label,concept\ncrane,a\ncrane,b\nwren,c\n")
    head = make_head(name="two", n_classes=3)
    birds.ingest(head.path, labels=table)
    birds.close()
    with (
        duckdb.connect(str(birds.path), read_only=True) as connection,
        pytest.raises(duckdb.Error, match="several classes"),
    ):
        connection.sql("FROM neighbors('two', 'crane')").fetchall()


def test_a_removed_models_number_is_never_given_again(birds):
    def numbers():
        with birds._database.writer() as connection:
            return [n for (n,) in connection.execute("SELECT model_id FROM models").fetchall()]

    before = numbers()
    birds.remove("machines")
    birds.ingest("efficientnet_lite0")
    assert max(numbers()) > max(before)


def test_a_catalog_stays_with_its_file_when_the_process_changes_folder(
    birds, monkeypatch, tmp_path
):
    relative = os.path.relpath(birds.path)
    catalog = classrel_db.open(relative)
    birds.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(catalog.models().fetchall()) == 4
    catalog.close()


def test_a_path_is_a_file_whatever_duckdb_would_take_it_for(tmp_path, monkeypatch, make_head):
    monkeypatch.chdir(tmp_path)
    head = make_head(n_classes=4)
    for name in (":memory:", "md:run", "sqlite:1.duckdb"):
        with classrel_db.open(name) as catalog:
            catalog.ingest(head.path, labels=head.labels_path, name="m")
        assert (tmp_path / name).stat().st_size > 0


def test_a_bias_that_is_no_number_is_refused_with_the_class(tmp_path):
    np.savez(
        tmp_path / "b.npz",
        weight=np.eye(4, 6, dtype=np.float32),
        bias=np.array([0, np.nan, 0, 0], dtype=np.float32),
        labels=np.array(["a", "wren", "c", "d"]),
    )
    with pytest.raises(classrel_db.ClassrelError, match=r'"wren".*bias'):
        classrel_db.open(tmp_path / "x.duckdb").ingest(tmp_path / "b.npz")
    assert not (tmp_path / "x.duckdb").exists()
