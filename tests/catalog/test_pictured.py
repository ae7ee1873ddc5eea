"""What the figures show, as numbers: the matrix, the distribution, two trees, ranks over models."""

from __future__ import annotations

import numpy as np
import pytest
from agreeing import add, dicts, made, normalized
from oracle import cosine_matrix, nearest
from scipy.spatial.distance import cdist

import classrel_db
from classrel_db.catalog.matrices import matrix_rows
from classrel_db.errors import ArgumentError, UnknownClassError, UnknownModelError
from classrel_db.maths.similarity import block_matrix

C = [f"c{i:02d}" for i in range(20)]
ALPHA = made("alpha", C[:12], seed=1)
BETA = made("beta", list(reversed(C[4:])), dim=6, seed=2)
GAMMA = made("gamma", C[2:12], dim=5, seed=3)
TWO = made("two", C[:2], dim=5, seed=4)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictured")
    with classrel_db.open(folder / "some.duckdb") as catalog:
        add(catalog, folder, ALPHA, BETA, GAMMA, TWO)
        add(catalog, folder, made("centred", C[:9], seed=5), normalize="center")
        yield catalog


@pytest.mark.parametrize("order", ["class", "leaf"])
@pytest.mark.parametrize("made_head", [ALPHA, BETA, TWO], ids=lambda each: each.name)
def test_the_matrix_is_that_of_the_rows(some, made_head, order):
    matrix = some.similarity_matrix(made_head.name, order=order)
    n = len(made_head.concepts)
    places = some.leaf_order(made_head.name) if order == "leaf" else np.arange(n)
    Z = normalized(made_head.weight)[places]
    off = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(matrix.cosine[off], cosine_matrix(Z)[off], atol=2e-7)
    np.testing.assert_allclose(matrix.euclidean[off], cdist(Z, Z)[off], atol=2e-6)
    assert np.isnan(np.diag(matrix.cosine)).all()
    assert np.isnan(np.diag(matrix.euclidean)).all()
    assert matrix.labels == tuple(made_head.labels[i] for i in places)
    assert matrix.concepts == tuple(made_head.concepts[i] for i in places)
    assert matrix.starts.tolist() == list(range(n + 1))
    assert (matrix.model, matrix.order, matrix.normalization) == (
        made_head.name, order, "standardize",
    )  # fmt: skip


def test_the_matrix_of_another_normalisation(some):
    head = made("centred", C[:9], seed=5)
    matrix = some.similarity_matrix("centred")
    off = ~np.eye(9, dtype=bool)
    Z = normalized(head.weight, "center")
    np.testing.assert_allclose(matrix.cosine[off], cosine_matrix(Z)[off], atol=2e-7)
    np.testing.assert_allclose(matrix.euclidean[off], cdist(Z, Z)[off], atol=2e-6)
    assert matrix.normalization == "center"


@pytest.mark.parametrize("most", [1, 2, 5, 11, 12])
def test_blocks_are_as_equal_as_can_be(some, most):
    matrix = some.similarity_matrix("alpha", most=most)
    sizes = np.diff(matrix.starts)
    assert len(sizes) == most
    assert sizes.sum() == 12
    assert np.ptp(sizes) <= 1
    Z = normalized(ALPHA.weight)
    S, E = cosine_matrix(Z), cdist(Z, Z)
    for a in range(most):
        for b in range(most):
            pairs = [(i, j) for i in range(*matrix.starts[a : a + 2])
                     for j in range(*matrix.starts[b : b + 2]) if i != j]  # fmt: skip
            if not pairs:
                assert np.isnan(matrix.cosine[a, b])
                continue
            assert matrix.cosine[a, b] == pytest.approx(np.mean([S[p] for p in pairs]), abs=2e-7)
            assert matrix.euclidean[a, b] == pytest.approx(
                np.sqrt(np.mean([E[p] ** 2 for p in pairs])), abs=2e-6
            )


def test_blocks_of_rows_of_different_lengths():
    rows = np.random.default_rng(0).normal(size=(9, 4)) * np.arange(1, 10)[:, None]
    cosine, euclidean = block_matrix(rows, np.array([0, 1, 4, 9]))
    S, E = cosine_matrix(rows), cdist(rows, rows)
    np.testing.assert_allclose(cosine[0, 1], S[0, 1:4].mean(), atol=1e-6)
    np.testing.assert_allclose(euclidean[1, 2], np.sqrt((E[1:4, 4:] ** 2).mean()), rtol=1e-6)
    assert np.isnan(cosine[0, 0])
    assert np.isnan(euclidean[0, 0])
    assert (euclidean == euclidean.T)[~np.eye(3, dtype=bool)].all()
    assert cosine.dtype == euclidean.dtype == np.float32


def test_the_rows_of_a_matrix_are_its_pairs(some):
    rows = dicts(matrix_rows(some.similarity_matrix("alpha")))
    assert [(row["place_a"], row["place_b"]) for row in rows] == [
        (a, b) for a in range(12) for b in range(a + 1, 12)
    ]
    S = cosine_matrix(normalized(ALPHA.weight))
    for row in rows:
        assert row["class_a"] == ALPHA.labels[row["place_a"]]
        assert row["class_b"] == ALPHA.labels[row["place_b"]]
        assert row["cosine"] == pytest.approx(S[row["place_a"], row["place_b"]], abs=2e-7)
    blocks = dicts(matrix_rows(some.similarity_matrix("alpha", most=5)))
    # pairs of blocks, and those that have pairs of their own
    assert sum(row["place_a"] == row["place_b"] for row in blocks) == 5
    assert sum(row["place_a"] < row["place_b"] for row in blocks) == 10


def test_the_histogram_adds_up(some):
    rows = dicts(some.histogram("alpha", seed=5))
    assert sum(row["pairs"] for row in rows) == rows[0]["n"] == 66
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert sum(row["null_share"] for row in rows) == pytest.approx(1)
    assert all(row["high"] == pytest.approx(row["low"] + 0.01) for row in rows)
    assert [row["low"] for row in rows[1:]] == [row["high"] for row in rows[:-1]]
    S = cosine_matrix(normalized(ALPHA.weight))[np.triu_indices(12, 1)]
    assert rows[0]["mean"] == pytest.approx(S.mean(), abs=1e-7)
    assert rows[0]["above"] == pytest.approx(np.mean(rows[0]["null_high"] <= S))
    assert {row["seed"] for row in rows} == {5}
    # the null of an own shuffling by the same seed
    rows_of = normalized(ALPHA.weight).astype(np.float32)
    null = np.random.default_rng(5).permuted(rows_of, axis=1)
    N = cosine_matrix(null)[np.triu_indices(12, 1)]
    assert rows[0]["null_mean"] == pytest.approx(N.mean(), abs=1e-6)
    assert rows[0]["null_high"] == pytest.approx(np.sort(N)[int(np.ceil(0.975 * 66)) - 1], abs=3e-4)


def test_ranks_over_models_are_those_of_sorted_cosines(some):
    rows = dicts(some.neighbor_ranks("c05", models=["alpha", "beta", "gamma"], k=4))
    ranks = {}
    for head in (ALPHA, BETA, GAMMA):
        S = cosine_matrix(normalized(head.weight))
        own = head.concepts.index("c05")
        for rank, i in enumerate(nearest(S[own].astype(np.float32), len(S) - 1, (own,)), 1):
            ranks.setdefault(head.concepts[i], {})[head.name] = rank
    mean = {
        concept: np.mean(list(found.values()))
        for concept, found in ranks.items()
        if 2 * len(found) >= 3
    }
    best = sorted(mean, key=lambda concept: (mean[concept], concept))[:4]
    assert list(dict.fromkeys(row["neighbor_concept"] for row in rows)) == best
    assert {(row["neighbor_concept"], row["model"]): row["rank"] for row in rows} == {
        (concept, model): rank for concept in best for model, rank in ranks[concept].items()
    }
    for row in rows:
        assert row["mean_rank"] == pytest.approx(mean[row["neighbor_concept"]])
    order = [row["model"] for row in rows if row["neighbor_concept"] == best[0]]
    assert order == [name for name in ("alpha", "beta", "gamma") if name in ranks[best[0]]]


def test_two_trees_number_the_same_class_the_same(some):
    rows = dicts(some.tanglegram("alpha", "beta"))
    sides = {name: [row for row in rows if row["model"] == name] for name in ("alpha", "beta")}
    leaves = {
        name: {row["node"]: row["concept"] for row in own if row["size"] == 1}
        for name, own in sides.items()
    }
    assert leaves["alpha"] == leaves["beta"]
    assert set(leaves["alpha"].values()) == set(C[4:12])
    for own in sides.values():
        assert sorted(row["place"] for row in own if row["size"] == 1) == list(range(8))
        by_node = {row["node"]: row for row in own}
        for row in own:
            if row["size"] > 1:
                left, right = by_node[row["left_node"]], by_node[row["right_node"]]
                assert left["place"] == row["place"]
                assert right["place"] == row["place"] + left["size"]
                assert left["size"] + right["size"] == row["size"]
                assert left["parent"] == right["parent"] == row["node"]


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda c: c.similarity_matrix("nobody"), UnknownModelError, "nobody"),
        (lambda c: c.similarity_matrix("alpha", order="size"), ArgumentError, "size"),
        (lambda c: c.similarity_matrix("alpha", most=0), ArgumentError, "most is 0"),
        (lambda c: c.similarity_matrix("alpha", most=2.5), ArgumentError, "most is 2.5"),
        (lambda c: c.similarity_matrix("alpha", order="leaf", method="x"), ArgumentError, "x"),
        (lambda c: c.histogram("nobody"), UnknownModelError, "nobody"),
        (lambda c: c.histogram("alpha", seed=-1), ArgumentError, "seed is -1"),
        (lambda c: c.histogram("alpha", seed="a"), ArgumentError, "seed is"),
        (lambda c: c.tanglegram("alpha", "alpha"), ArgumentError, "named twice"),
        (lambda c: c.tanglegram("alpha", "two"), ArgumentError, "share only 2"),
        (lambda c: c.tanglegram("alpha", "beta", around="nobody"), UnknownClassError, "nobody"),
        (lambda c: c.tanglegram("alpha", "beta", around="c00"), ArgumentError, "beta has no class"),
        (lambda c: c.tanglegram("alpha", "beta", around="c05", k=1), ArgumentError, "k is 1"),
        (lambda c: c.neighbor_ranks("nobody"), UnknownClassError, "nobody"),
        (lambda c: c.neighbor_ranks("c05", k=0), ArgumentError, "k is 0"),
        (lambda c: c.neighbor_ranks("c05", models="nobody"), UnknownModelError, "nobody"),
    ],
)
def test_bad_arguments_are_refused(some, ask, error, message):
    with pytest.raises(error, match=message):
        ask(some)


def test_ranks_take_mapped_concepts_for_one_class_and_leave_out_what_few_have(tmp_path):
    with classrel_db.open(tmp_path / "ranks.duckdb") as catalog:
        one = made("one", [f"c{i}" for i in range(8)], dim=6, seed=1)
        two = made("two", [f"d{i}" for i in range(8)], dim=6, seed=2)
        three = made("three", [f"c{i}" for i in (*range(4), 20, 21, 22, 23)], dim=6, seed=3)
        add(catalog, tmp_path, one, two, three)
        catalog.map_concepts({f"c{i}": f"d{i}" for i in range(8)})
        rows = dicts(catalog.neighbor_ranks("c3", k=7))
        places: dict[str, list[int]] = {}
        for model in ("one", "two", "three"):
            for row in dicts(catalog.similar("c3", models=model, k=7)):
                concept = row["neighbor_concept"].replace("d", "c")
                places.setdefault(concept, []).append(row["rank"])
    wide = {c: sum(ranks) / len(ranks) for c, ranks in places.items() if len(ranks) >= 2}
    best = sorted(wide, key=lambda c: (wide[c], c))[:7]
    assert list(dict.fromkeys(row["neighbor_concept"] for row in rows)) == best
    assert not {"c20", "c21", "c22", "c23"} & set(best)
    for row in rows:
        assert row["mean_rank"] == pytest.approx(wide[row["neighbor_concept"]])
    assert [row["model"] for row in rows if row["neighbor_concept"] == "c5"] == ["one", "two"]


def test_k_of_a_tanglegram_is_for_a_clade(some):
    with pytest.raises(ArgumentError, match="k is for around"):
        some.tanglegram("alpha", "beta", k=5)


def test_one_model_is_named(some):
    for ask in (some.project, some.histogram, some.similarity_matrix):
        with pytest.raises(ArgumentError, match="name one model"):
            ask(["alpha", "beta"])
