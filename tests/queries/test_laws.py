"""Laws that the queries obey whatever the heads and the arguments."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import ingest, opened
from .naive import NEAR, Model, assert_rows, by_pair, call

pytestmark = pytest.mark.long

NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta", "iota"]
model_names = st.sampled_from(NAMES)
numbers = st.integers(min_value=0, max_value=33).map(lambda i: f"c{i:02d}")
some = settings(max_examples=20)
several = st.none() | st.lists(model_names, max_size=6)


@some
@given(concept=numbers, a=model_names, b=model_names, k=st.integers(1, 40))
def test_a_shift_is_the_opposite_of_the_shift_back(mixed, concept, a, b, k):
    there = mixed.ask(call("rank_shift", concept, a, b, k=k))
    back = mixed.ask(call("rank_shift", concept, b, a, k=k))
    turned = {
        row["neighbor_concept"]: (row["rank_b"], row["rank_a"], -row["shift"], row["cosine_b"])
        for row in back
    }
    assert len(turned) == len(back)
    assert turned == {
        row["neighbor_concept"]: (row["rank_a"], row["rank_b"], row["shift"], row["cosine_a"])
        for row in there
    }


@some
@given(concept=numbers, a=model_names)
def test_nothing_moves_between_a_model_and_itself(mixed, concept, a):
    assert all(row["shift"] == 0 for row in mixed.ask(call("rank_shift", concept, a, a)))


@some
@given(name=model_names, k=st.integers(1, 100))
def test_a_pair_is_mutual_where_each_is_among_the_others_nearest(mixed, name, k):
    model = mixed[name]
    near = {
        (row[0], row[1])
        for row in mixed.connection.execute(
            f"SELECT concept, neighbor_concept FROM nearest WHERE model = '{name}' AND rank <= {k}"
        ).fetchall()
    }
    concept = dict(zip(model.labels, model.concepts, strict=True))
    found = mixed.ask(call("mutual_neighbors", name, k=k))
    mutual = {(concept[row["class_a"]], concept[row["class_b"]]) for row in found}
    assert len(mutual) == len(found)
    assert mutual | {(b, a) for a, b in mutual} == {(a, b) for a, b in near if (b, a) in near}


@some
@given(a=numbers, b=numbers, models=several)
def test_distance_is_the_same_there_and_back_and_what_the_spread_is_of(mixed, a, b, models):
    there = mixed.ask(call("distance", a, b, models=models))
    back = mixed.ask(call("distance", b, a, models=models))
    assert [(r["model"], r["cosine"], r["euclidean"]) for r in there] == [
        (r["model"], r["cosine"], r["euclidean"]) for r in back
    ]
    spread = mixed.ask(call("pair_spread", a, class_b=b, models=models))
    assert Counter(r["normalization"] for r in there) == {
        r["normalization"]: r["n"] for r in spread
    }
    for row in spread:
        cosines = {
            r["model"]: r["cosine"] for r in there if r["normalization"] == row["normalization"]
        }
        assert row["low"] == cosines[row["low_model"]] == min(cosines.values())
        assert row["high"] == cosines[row["high_model"]] == max(cosines.values())
        assert row["low"] - NEAR <= row["mean"] <= row["high"] + NEAR


@some
@given(
    name=model_names,
    k=st.integers(1, 140),
    split=st.integers(-1, 130),
    class_idx=st.integers(0, 15),
)
def test_a_condition_and_its_opposite_divide_the_neighbors(mixed, name, k, split, class_idx):
    whole = mixed.ask(call("neighbors", name, class_idx, k=1000))
    parts = [
        mixed.ask(call("neighbors", name, class_idx, k=1000, keep=f"class_idx {sign} {split}"))
        for sign in ("<=", ">")
    ]
    joined = [row["neighbor_concept"] for part in parts for row in part]
    assert sorted(joined) == sorted(row["neighbor_concept"] for row in whole)
    for part in parts:
        concepts = {row["neighbor_concept"] for row in part}
        filtered = [row for row in whole if row["neighbor_concept"] in concepts]
        assert [row | {"rank": rank} for rank, row in enumerate(filtered, 1)] == part
    fewer = mixed.ask(call("neighbors", name, class_idx, k=k, keep=f"class_idx <= {split}"))
    assert fewer == parts[0][:k]


@pytest.mark.parametrize(
    "query",
    [
        "neighbors('zeta', 'c03'",
        "neighbors('alpha', 'c03', keep := class_idx > 9",
        "consensus('c11', exclude := ['delta', 'epsilon', 'theta', 'iota']",
        "consensus_neighbors('c11'",
        "contested_pairs(models := ['alpha', 'beta', 'gamma', 'delta', 'epsilon']",
        "consensus_pairs(min_models := 1",
        "label_search('species'",
        "isolated_classes(models := ['zeta']",
    ],
)
@settings(max_examples=8)
@given(k=st.integers(1, 300))
def test_the_first_k_are_the_first_of_more(mixed, query, k):
    assert_rows(mixed.ask(f"{query}, k := {k})"), mixed.ask(f"{query}, k := 1000)")[:k])


@some
@given(name=model_names, concept=numbers)
def test_the_consensus_of_one_model_is_its_own_ranking(mixed, name, concept):
    own = mixed.ask(call("neighbors", name, concept, k=1000))
    found = mixed.ask(call("consensus_neighbors", concept, k=1000, models=[name]))
    assert [row["neighbor_concept"] for row in found] == [row["neighbor_concept"] for row in own]
    for row, single in zip(found, own, strict=True):
        assert row["rank"] == row["mean_rank"] == row["best_rank"] == row["worst_rank"]
        assert (row["n"], row["sd_cosine"], row["mean_cosine"]) == (1, None, single["cosine"])


@st.composite
def head_and_copy(draw):
    """A head, the same with its classes in another order and its rows scaled, and another head."""
    n, dim = draw(st.integers(3, 14)), draw(st.integers(3, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    W = random.normal(size=(n, dim)).astype(np.float32)
    order = draw(st.permutations(range(n)))
    # powers of two change no digit of a standardised row
    scale = np.exp2(draw(st.lists(st.integers(-8, 8), min_size=n, max_size=n)))[:, None]
    concepts = [f"c{i:02d}" for i in range(n)]
    turned = [concepts[i] for i in order]
    other = random.normal(size=(n, dim + 1)).astype(np.float32)
    return [
        Model("head", W, None, concepts, concepts),
        Model("copy", (W * scale).astype(np.float32)[order], None, turned, turned),
        Model("other", other, None, concepts, concepts),
    ]


@settings(max_examples=4)
@given(models=head_and_copy(), k=st.integers(1, 12))
def test_neither_the_order_of_classes_nor_the_length_of_rows_matters_to_any_query(models, k):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classrel.duckdb"
        ingest(path, Path(folder), *models)
        with opened(path, models) as library:
            assert_same_answers(library, k)


def assert_same_answers(library, k):
    def both(query, *given, **named):
        answers = []
        for name in ("head", "copy"):
            rows = library.ask(call(query, *[name if x is ... else x for x in given], **named))
            answers.append(
                [row | {"model": None} for row in rows if row.get("model", name) == name]
            )
        return answers

    head, copy = both("model_summary")
    assert_rows(copy, [head[0] | {"label_space": "copy"}])
    assert_rows(*both("similarity_histogram", bins=10))
    for concept in library["head"].concepts:
        assert_rows(*both("neighbors", ..., concept, k=k))
    for query, arguments in (
        ("near_duplicates", {"threshold": -1}),
        ("mutual_neighbors", {"k": k}),
    ):
        ours, theirs = (
            by_pair(rows) for rows in both(query, *([...] * ("k" in arguments)), **arguments)
        )
        assert ours.keys() == theirs.keys()
        for pair, row in ours.items():
            assert (row["cosine"], row["euclidean"]) == (
                theirs[pair]["cosine"],
                theirs[pair]["euclidean"],
            )
            ranks = {r["class_a"]: r.get("rank_a") for r in (row, theirs[pair])}
            ranks |= {r["class_b"]: r.get("rank_b") for r in (row, theirs[pair])}
            for r in (row, theirs[pair]):
                assert (r.get("rank_a"), r.get("rank_b")) == (
                    ranks[r["class_a"]],
                    ranks[r["class_b"]],
                )
    for query, arguments in (
        ("hubs", {"k": k}),
        ("isolated_classes", {"k": 100}),
        ("bridges", {"k": k}),
    ):
        ours, theirs = (
            {row["class"]: row | {"rank": None} for row in rows}
            for rows in both(query, *([...] * (query == "bridges")), **arguments)
        )
        assert_rows(
            [theirs[name] for name in sorted(theirs)], [ours[name] for name in sorted(ours)]
        )
    for query in ("contested_pairs", "consensus_pairs"):
        ours, theirs = (
            by_pair(library.ask(call(query, k=1000, models=[name, "other"])))
            for name in ("head", "copy")
        )
        assert ours.keys() == theirs.keys()
        for pair, row in ours.items():
            for column in ("n", "mean", "sd", "low", "high"):
                assert row[column] == pytest.approx(theirs[pair][column], abs=NEAR)
    # a model and its copy are never of two minds
    for row in library.ask("contested_pairs(k := 1000, models := ['head', 'copy'])"):
        assert row["sd"] == pytest.approx(0, abs=NEAR)
        assert row["low"] == row["high"]


def test_what_can_only_be_read_is_not_changed_by_any_query(mixed):
    with pytest.raises(duckdb.Error, match="read-only"):
        mixed.connection.execute("CREATE OR REPLACE MACRO hubs() AS 1")
