"""`Catalog.counterpart`: who plays a class's part in another model, by loops over anchors."""

from __future__ import annotations

import numpy as np
import pytest
from agreeing import add, dicts, made, normalized, shared
from oracle import REAL, cosine_matrix

import classrel_db
from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    UnknownClassError,
    UnknownModelError,
)

COLUMNS = [
    "model_a", "class", "model_b", "rank", "counterpart", "counterpart_concept", "similarity",
    "same_concept", "anchors", "accuracy", "accuracy_5",
]  # fmt: skip

C = [f"c{i:02d}" for i in range(30)]
ALPHA = made("alpha", C[:20], dim=9, seed=1, noise=0.6)
BETA = made(
    "beta",
    list(reversed(C[6:28])),
    dim=6,
    seed=2,
    noise=0.6,
    labels=[f"B {c}" for c in reversed(C[6:28])],
)
FLAT = made("flat", C[:8], weight=np.diag(np.arange(1.0, 9.0)))
WIDE_FLAT = made("wide flat", [*C[:6], "z0", "z1"], weight=np.eye(8))
FAR = made("far", [f"x{i}" for i in range(6)])
R = [f"r{i:02d}" for i in range(60)]
CHANCE = [
    made(name, R, weight=np.random.default_rng(seed).normal(size=(60, dim)))
    for name, seed, dim in (("chance", 1, 20), ("luck", 2, 12))
]
HEADS = {head.name: head for head in (ALPHA, BETA)}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counterpart")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, BETA, FLAT, WIDE_FLAT, FAR, *CHANCE)
        yield catalog


def cosine(x, y):
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def places(a, b, concept, normalization="standardize"):
    """The classes of b by their likeness to a class of a, seen from anchors without that class."""
    A, B = normalized(a.weight, normalization), normalized(b.weight, normalization)
    anchors = [each for each in shared(a, b) if each != concept]
    own = [cosine(A[a.concepts.index(concept)], A[i]) for i in a.at(anchors)]
    others = [[cosine(row, B[i]) for i in b.at(anchors)] for row in B]
    alike = [cosine(np.asarray(own), np.asarray(other)) for other in others]
    return sorted(zip(alike, b.concepts, strict=True), reverse=True), len(anchors)


def accuracies(a, b):
    first = five = 0
    for concept in shared(a, b):
        ranked = [other for _, other in places(a, b, concept)[0]]
        first += ranked.index(concept) == 0
        five += ranked.index(concept) < 5
    return first / len(shared(a, b)), five / len(shared(a, b))


@pytest.mark.parametrize(("a", "b"), [("alpha", "beta"), ("beta", "alpha")])
@pytest.mark.parametrize("concept", ["c06", "c12", "c19"])
def test_a_shared_class_is_no_anchor_for_itself(small, a, b, concept):
    rows = small.counterpart(concept, a, b, k=len(HEADS[b].concepts))
    assert rows.columns == COLUMNS
    expected, anchors = places(HEADS[a], HEADS[b], concept)
    listed = dicts(rows)
    assert anchors == 13
    assert [row["counterpart_concept"] for row in listed] == [other for _, other in expected]
    for number, (row, (alike, other)) in enumerate(zip(listed, expected, strict=True), 1):
        assert row["similarity"] == pytest.approx(alike, abs=1e-6)
        assert row["same_concept"] == (other == concept)
        assert (row["rank"], row["anchors"]) == (number, anchors)
        assert (row["model_a"], row["model_b"]) == (a, b)
        assert row["class"] == HEADS[a].labels[HEADS[a].concepts.index(concept)]
        assert row["counterpart"] == HEADS[b].labels[HEADS[b].concepts.index(other)]


def test_accuracy_is_that_of_leaving_each_class_out_in_turn(small):
    for a, b in ((ALPHA, BETA), (BETA, ALPHA)):
        row = dicts(small.counterpart("c10", a.name, b.name, k=1))[0]
        assert (row["accuracy"], row["accuracy_5"]) == pytest.approx(accuracies(a, b))
        assert 0 < row["accuracy"] < row["accuracy_5"] <= 1


def test_a_class_that_the_other_model_lacks_takes_every_anchor(small):
    rows = dicts(small.counterpart("c02", "alpha", "beta"))
    expected, anchors = places(ALPHA, BETA, "c02")
    assert len(rows) == 10
    assert {row["anchors"] for row in rows} == {anchors} == {14}
    assert {row["same_concept"] for row in rows} == {None}
    assert [row["counterpart_concept"] for row in rows] == [c for _, c in expected[:10]]
    assert [row["similarity"] for row in rows] == pytest.approx(
        [s for s, _ in expected[:10]], abs=1e-6
    )


def test_heads_with_nothing_in_common_find_a_twin_by_chance_alone(small):
    row = dicts(small.counterpart("r07", "chance", "luck", k=1))[0]
    assert row["accuracy"] <= 5 / 60  # 1/60 is expected
    assert row["accuracy_5"] <= 15 / 60
    assert dicts(small.counterpart("c10", "alpha", "beta"))[0]["accuracy_5"] > 0.5


def test_heads_of_one_data_set_find_nearly_every_twin(catalog):
    rows = dicts(catalog.counterpart("Dungeness crab", REAL[0], REAL[2]))
    assert (rows[0]["counterpart"], rows[0]["same_concept"]) == ("Dungeness crab", True)
    assert rows[0]["anchors"] == 999
    assert rows[0]["accuracy"] > 0.9
    assert len(rows) == 10


def test_real_similarities_are_those_of_the_raw_heads(catalog, heads):
    A, B = heads[REAL[0]].cosine, heads[REAL[2]].cosine
    space = np.delete(B, 118, axis=1)
    alike = cosine_matrix(np.vstack([np.delete(A[118], 118), space]))[0, 1:]
    rows = dicts(catalog.counterpart(118, REAL[0], REAL[2], k=50))
    best = np.sort(alike)[::-1][:50]
    assert [row["similarity"] for row in rows] == pytest.approx(best.tolist(), abs=1e-6)


@pytest.mark.parametrize("normalization", ["center", "none"])
def test_raw_heads_under_another_normalisation(small, normalization):
    rows = dicts(small.counterpart("c08", "alpha", "beta", k=22, normalize=normalization))
    expected = dict(reversed(each) for each in places(ALPHA, BETA, "c08", normalization)[0])
    for row in rows:
        assert row["similarity"] == pytest.approx(expected[row["counterpart_concept"]], abs=1e-4)
    plain = dicts(small.counterpart("c08", "alpha", "beta", k=22))
    assert [row["similarity"] for row in rows] != pytest.approx(
        [r["similarity"] for r in plain], abs=1e-3
    )


def test_heads_without_any_likeness_have_finite_numbers(small):
    for concept in ("c00", "c07"):
        rows = dicts(small.counterpart(concept, "flat", "wide flat", normalize="none"))
        assert len(rows) == 8
        for row in rows:
            assert np.isfinite(row["similarity"])
            assert 0 <= row["accuracy"] <= row["accuracy_5"] <= 1


@pytest.mark.parametrize(
    ("query", "models", "given", "said", "kind"),
    [
        ("c08", ("alpha", "alpha"), {}, '"alpha" is named twice', ArgumentError),
        ("c08", ("alpha", "far"), {}, "share no class", ArgumentError),
        ("c08", ("alpha", "betta"), {}, 'did you mean "beta"', UnknownModelError),
        ("c80", ("alpha", "beta"), {}, 'no class "c80"', UnknownClassError),
        ("c25", ("alpha", "beta"), {}, 'no class "c25"', UnknownClassError),
        ("the", ("alpha", "beta"), {}, "could be 20 classes in alpha", AmbiguousClassError),
        (20, ("alpha", "beta"), {}, "20", UnknownClassError),
        ("c08", ("alpha", "beta"), {"k": 0}, r"k is 0; .* from 1 to 22 \(22 classes of beta", ArgumentError),
        ("c08", ("alpha", "beta"), {"k": 23}, "k is 23; .* from 1 to 22", ArgumentError),
        ("c08", ("alpha", "beta"), {"k": 2.5}, "k is 2.5", ArgumentError),
        ("c08", ("alpha", "beta"), {"normalize": "x"}, "accepted", ArgumentError),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(small, query, models, given, said, kind):
    with pytest.raises(kind, match=said):
        small.counterpart(query, *models, **given)
