"""How each query takes a class: by label, in another case, by concept, by index, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import REAL

from .conftest import small
from .naive import NEAR, Model, assert_rows, call

LITE0, LITE1, LITE2 = REAL

# every query that takes a class, with the place of the class left open
ASKING = {
    "neighbors": f"neighbors('{LITE1}', {{}}, k := 40)",
    "neighbors, computed": f"neighbors('{LITE1}', {{}}, k := 101)",
    "neighbors, kept": f"neighbors('{LITE1}', {{}}, keep := bias > 0)",
    "distance, first": "distance({}, 'king crab')",
    "distance, second": "distance('king crab', {})",
    "pair_spread": "pair_spread({})",
    "pair_spread, first": "pair_spread({}, class_b := 'king crab')",
    "pair_spread, second": "pair_spread('king crab', class_b := {})",
    "outlier_models": "outlier_models({})",
    "consensus": "consensus({}, k := 60)",
    "consensus_neighbors": "consensus_neighbors({}, k := 60)",
    "rank_shift": f"rank_shift({{}}, '{LITE2}', '{LITE0}', k := 12)",
}


@pytest.mark.parametrize("query", ASKING)
@pytest.mark.parametrize(
    "other",
    ["'dungeness CRAB'", "'n01978287'", "118", "'118'", "118::BIGINT"],
)
def test_a_class_is_the_same_however_it_is_named(real, query, other):
    expected = real.ask(ASKING[query].format("'Dungeness crab'"))
    assert expected
    assert_rows(real.ask(ASKING[query].format(other)), expected)


@pytest.mark.parametrize("query", ASKING)
@pytest.mark.parametrize(
    "unknown",
    ["'no such class'", "1000", "-1", "'1000'", "''", "'%'", "'dungeness%'", "NULL", "'crab'"],
)
def test_a_class_that_is_not_there_has_no_rows(real, query, unknown):
    if (query, unknown) == ("pair_spread, second", "NULL"):
        assert len(real.ask(ASKING[query].format(unknown))) == 999
    else:
        assert real.ask(ASKING[query].format(unknown)) == []


@pytest.mark.parametrize(
    "query",
    [
        "neighbors('nobody', 'tench')",
        "rank_shift('tench', 'nobody', 'efficientnet_lite0')",
        "rank_shift('tench', 'efficientnet_lite0', 'nobody')",
        *(
            call(name, *given, models=models)
            for name, given in [
                ("distance", ("tench", "goldfish")),
                ("pair_spread", ("tench",)),
                ("outlier_models", ("tench",)),
                ("consensus", ("tench",)),
                ("consensus_neighbors", ("tench",)),
                ("label_search", ("tench",)),
            ]
            for models in (["nobody"], [])
        ),
    ],
)
def test_a_model_that_is_not_there_has_no_rows(real, query):
    assert real.ask(query) == []


@pytest.fixture(scope="module")
def herons(library):
    """Labels in two cases, labels that are another's concept or index, and a plain second model."""
    rows = [
        ("Heron", "ardea"),
        ("heron", "egretta"),
        ("ardea", "botaurus"),
        ("3", "three"),
        ("wren", "5"),
        ("finch", "fringilla"),
        ("tern", "sterna"),
        ("crane", "grus"),
        ("crane", "hoist"),
    ]
    W = np.random.default_rng(2).normal(size=(9, 5)).astype(np.float32)
    labels, concepts = map(list, zip(*rows, strict=True))
    plain = small("plain", ["grus", "hoist", "sterna"], ["HERON", "owl", "tern"], seed=3)
    return library(Model("herons", W, None, labels, concepts), plain)


@pytest.mark.parametrize(
    ("given", "class_idx"),
    [
        ("Heron", 0),  # the label as it is written, before another that differs in case
        ("heron", 1),
        ("ardea", 2),  # a label before a concept
        ("ARDEA", 2),
        ("egretta", 1),
        ("three", 3),
        ("3", 3),  # a text is a label before an index
        (3, 3),
        ("5", 4),  # and a concept before an index
        (5, 5),
        ("6", 6),
        (6, 6),
        ("Egretta", None),  # concepts are as they are written
        (8, 8),
        (9, None),
    ],
)
def test_a_label_goes_before_a_concept_and_that_before_an_index(herons, given, class_idx):
    model = herons["herons"]
    rows = herons.ask(call("neighbors", "herons", given))
    assert len(rows) == (0 if class_idx is None else 8)
    assert {row["class"] for row in rows} <= {model.labels[class_idx or 0]}
    if class_idx is not None:
        assert [model.place[row["neighbor_concept"]] for row in rows] == model.order[class_idx]


@pytest.mark.parametrize("name", ["HERON", "crane"])
@pytest.mark.parametrize(
    "query",
    [
        "neighbors('herons', {})",
        "neighbors('herons', {}, k := 101)",
        "neighbors('herons', {}, keep := class_idx > 2)",
        "distance({}, 'tern')",
        "distance('tern', {}, models := ['herons', 'plain'])",
        "pair_spread({})",
        "pair_spread({}, class_b := 'tern')",
        "pair_spread('tern', class_b := {})",
        "outlier_models({})",
        "consensus({})",
        "consensus_neighbors({})",
        "rank_shift({}, 'herons', 'plain')",
        "rank_shift({}, 'plain', 'herons')",
    ],
)
def test_a_label_of_two_classes_is_refused_and_the_concept_is_not(herons, query, name):
    text = herons.refused(query.format(f"'{name}'"))
    assert f'"{name}" names several classes; give the concept or the index' in text
    for concept in ("grus", "hoist"):
        assert herons.ask(query.format(f"'{concept}'"))


def test_a_label_that_is_refused_in_one_model_answers_in_another(herons):
    assert len(herons.ask("neighbors('plain', 'heron')")) == 2
    (row,) = herons.ask("distance('heron', 'owl', models := ['plain'])")
    assert (row["class_a"], row["class_b"]) == ("HERON", "owl")
    assert len(herons.ask("consensus_neighbors('HERON', models := ['plain'])")) == 2


def test_classes_of_one_label_are_kept_apart_in_the_order_of_their_concepts(herons):
    model = herons["herons"]
    rows = herons.ask("pair_spread('wren', models := ['herons'])")
    cranes = [row["mean"] for row in rows if row["class_b"] == "crane"]
    expected = [model.cosine[4, model.place[concept]] for concept in ("grus", "hoist")]
    np.testing.assert_allclose(cranes, expected, atol=NEAR)


def test_a_class_has_no_distance_to_itself(real, mixed):
    assert mixed.ask("distance('c10', 'c10')") == mixed.ask("distance('c10', 'species 10')") == []
    assert real.ask("distance('tench', 'n01440764')") == []
    assert real.ask("pair_spread('tench', class_b := 0)") == []


ODD = [
    'say "cheese"',
    "potter's wheel",
    "100% wool",
    "50_50 mix",
    "🦀 crab",
    "🦀🦀",
    "crêpe",
    "a\\b",
    "semi;colon -- and comment",
    "comma, and more",
    "Zaunkönig",
    "'quoted'",
    "{brace}",
]


@pytest.fixture(scope="module")
def odd(library):
    W = np.random.default_rng(8).normal(size=(len(ODD), 6)).astype(np.float32)
    concepts = [f"id {i}" for i in range(len(ODD))]
    return library(
        Model("odd 'model' 🦀", W, None, ODD, concepts),
        Model("plain", W[::-1] + W, None, ODD[::-1], concepts[::-1]),
    )


@pytest.mark.parametrize("label", ODD)
def test_labels_of_any_spelling_are_found_and_given_back(odd, label):
    first, second = odd.models
    for spelled in (label, label.upper()):
        rows = odd.ask(call("neighbors", first.name, spelled))
        order = first.order[ODD.index(label)]
        assert [row["neighbor"] for row in rows] == [ODD[i] for i in order]
        assert {(row["model"], row["class"]) for row in rows} == {(first.name, label)}
        rows = odd.ask(call("rank_shift", spelled, first.name, second.name))
        assert {row["neighbor"] for row in rows} == set(ODD) - {label}
        (row, _) = odd.ask(call("label_search", spelled, k=2))
        assert (row["class"], row["score"], row["n"]) == (label, 1, 2)


def test_a_condition_takes_quotes_and_wildcards_as_sql_does(odd):
    def kept(condition):
        rows = odd.ask(call("neighbors", odd.models[0].name, "a\\b", keep=condition))
        return {row["neighbor"] for row in rows}

    assert kept("label = '''quoted'''") == {"'quoted'"}
    assert kept("label LIKE '%🦀%'") == {"🦀 crab", "🦀🦀"}
    assert kept("contains(label, '%')") == {"100% wool"}
    assert kept(r"label LIKE '%\%%' ESCAPE '\'") == {"100% wool"}
    assert kept("label LIKE '__'") == {"🦀🦀"}


@pytest.mark.parametrize("keep", ["bias > 0", "neighbor = 'tench'", "cosine > 0.2", "tree > 1"])
def test_a_condition_over_a_column_that_is_not_there_is_refused(odd, real, keep):
    if keep == "bias > 0":
        assert real.ask(f"neighbors('{LITE0}', 0, keep := {keep})")
    else:
        assert "not found" in real.refused(f"neighbors('{LITE0}', 0, keep := {keep})")
