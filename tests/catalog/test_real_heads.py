"""The numbers: three real ImageNet heads against torch, naive loops and each other's routes."""

from __future__ import annotations

import warnings

import duckdb
import numpy as np
import pytest
import torch
from oracle import REAL, cosine_matrix, nearest

DUNGENESS = 118
SAMPLE = [0, 1, DUNGENESS, 397, 398, 500, 751, 999]


@pytest.fixture(params=REAL)
def head(request, heads):
    return heads[request.param]


@pytest.fixture
def connection(database):
    with duckdb.connect(str(database), read_only=True) as opened:
        yield opened


def stored_matrix(connection, name, column):
    """C×C of ``cosine`` or ``euclidean`` from the view of every pair, NaN on the diagonal."""
    found = connection.execute(
        f"""
        SELECT p.a, p.b, p.cosine, euclidean(p.cosine, x.norm, y.norm) AS euclidean
        FROM pairs AS p JOIN models AS m USING (model_id)
        JOIN classes AS x ON x.model_id = m.model_id AND x.class_idx = p.a
        JOIN classes AS y ON y.model_id = m.model_id AND y.class_idx = p.b
        WHERE m.name = '{name}'
        """
    ).fetchnumpy()
    matrix = np.full((1000, 1000), np.nan)
    matrix[found["a"], found["b"]] = matrix[found["b"], found["a"]] = found[column]
    return matrix


def off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


def test_stored_cosine_is_the_published_formula_in_torch(connection, head):
    w = torch.from_numpy(head.weight.copy())
    w -= w.mean(dim=1, keepdim=True)
    w /= w.std(dim=1, keepdim=True)
    norms = w.norm(2, dim=1)
    published = (w @ w.T) / (norms.unsqueeze(0) * norms.unsqueeze(1))
    stored = stored_matrix(connection, head.name, "cosine")
    worst = np.abs(off_diagonal(stored) - off_diagonal(published.numpy())).max()
    print(f"{head.name}: largest difference to torch {worst:.2e}")
    assert worst < 2e-6


def test_stored_cosine_is_a_float64_loop(connection, head):
    stored = stored_matrix(connection, head.name, "cosine")
    worst = 0.0
    unit = [row / np.sqrt(np.dot(row, row)) for row in head.standardized]
    for a, row in enumerate(unit):
        for b in range(a + 1, 1000):
            worst = max(worst, abs(np.dot(row, unit[b]) - stored[a, b]))
    print(f"{head.name}: largest difference to the loop {worst:.2e}")
    assert worst < 2e-6


def test_stored_euclidean_is_the_distance_of_the_rows(connection, head):
    stored = off_diagonal(stored_matrix(connection, head.name, "euclidean"))
    relative = np.abs(stored / off_diagonal(head.euclidean) - 1).max()
    print(f"{head.name}: largest relative difference {relative:.2e}")
    assert relative < 1e-4


def test_the_published_euclidean_of_torch_is_met(connection, head):
    w = torch.from_numpy(head.standardized.astype(np.float32))
    stored = off_diagonal(stored_matrix(connection, head.name, "euclidean"))
    published = off_diagonal(torch.cdist(w, w).numpy())
    assert np.abs(stored / published - 1).max() < 1e-4


def test_every_class_ranks_as_argsort_of_the_cosine_matrix(connection, head):
    """Each stored rank holds the oracle's class, or one whose true cosine differs by < 1e-7."""
    listed = connection.execute(
        "SELECT neighbor_idx FROM nearest WHERE model = ? ORDER BY class_idx, rank", [head.name]
    ).fetchnumpy()["neighbor_idx"]
    listed = listed.reshape(1000, 100)
    cosine = head.cosine.copy()
    np.fill_diagonal(cosine, -np.inf)
    expected = np.argsort(-cosine, axis=1, kind="stable")[:, :100]
    rows, ranks = np.nonzero(listed != expected)
    apart = np.abs(cosine[rows, listed[rows, ranks]] - cosine[rows, expected[rows, ranks]])
    print(f"{head.name}: {len(rows)} of 100,000 ranks swapped among equals")
    assert (apart < 1e-7).all()
    assert len(rows) < 100


@pytest.mark.parametrize("class_idx", SAMPLE)
def test_similar_is_argsort_with_all_its_columns(catalog, head, class_idx):
    rows = catalog.similar(class_idx, models=head.name, k=100).fetchall()
    cosine = head.cosine[class_idx].astype(np.float32)
    order = nearest(cosine, 100, (class_idx,))
    labels = catalog.classes(head.name).fetchall()
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        (head.name, rank, labels[i][2], labels[i][3]) for rank, i in enumerate(order, 1)
    ]
    assert {row[1] for row in rows} == {labels[class_idx][2]}
    np.testing.assert_allclose([row[5] for row in rows], head.cosine[class_idx][order], atol=2e-7)
    np.testing.assert_allclose(
        [row[6] for row in rows], head.euclidean[class_idx][order], rtol=1e-4
    )


def test_pairs_and_neighbors_hold_the_same_cosines_and_order(connection, head):
    cosine = stored_matrix(connection, head.name, "cosine").astype(np.float32)
    np.fill_diagonal(cosine, -2)
    stored = connection.execute(
        "SELECT neighbor_idx, cosine FROM nearest WHERE model = ? ORDER BY class_idx, rank",
        [head.name],
    ).fetchnumpy()
    expected = np.lexsort((np.broadcast_to(np.arange(1000), (1000, 1000)), -cosine), axis=1)
    np.testing.assert_array_equal(stored["neighbor_idx"].reshape(1000, 100), expected[:, :100])
    np.testing.assert_array_equal(
        stored["cosine"].reshape(1000, 100), np.take_along_axis(cosine, expected[:, :100], axis=1)
    )


@pytest.mark.parametrize("k", [1, 2, 25, 99, 100])
def test_the_vector_index_and_the_stored_neighbors_give_one_answer(catalog, head, k):
    for class_idx in SAMPLE:
        found = catalog.similar(vector=head.weight[class_idx], models=head.name, k=k + 1).fetchall()
        label = catalog.classes(head.name).fetchall()[class_idx][2]
        assert found[0][2:4] == (1, label)
        assert found[0][5] == pytest.approx(1, abs=1e-7)
        stored = catalog.similar(class_idx, models=head.name, k=k).fetchall()
        assert [row[3:5] for row in found[1:]] == [row[3:5] for row in stored]
        np.testing.assert_allclose(
            [row[5:] for row in found[1:]], [row[5:] for row in stored], rtol=2e-7, atol=6e-8
        )


def test_beyond_the_stored_hundred_the_same_order_goes_on(catalog, head):
    for class_idx in (0, DUNGENESS, 999):
        stored = catalog.similar(class_idx, models=head.name, k=100).fetchall()
        whole = catalog.similar(class_idx, models=head.name, k=999).fetchall()
        assert [row[:5] for row in whole[:100]] == [row[:5] for row in stored]
        assert [row[2] for row in whole] == list(range(1, 1000))
        cosines = np.array([row[5] for row in whole], dtype=np.float32)
        order = nearest(head.cosine[class_idx].astype(np.float32), 999, (class_idx,))
        listed = [row[4] for row in whole]
        concepts = [row[3] for row in catalog.classes(head.name).fetchall()]
        swapped = [r for r in range(999) if listed[r] != concepts[order[r]]]
        by_concept = dict(zip(concepts, head.cosine[class_idx], strict=True))
        for rank in swapped:
            assert abs(by_concept[listed[rank]] - head.cosine[class_idx][order[rank]]) < 1e-7
        np.testing.assert_allclose(cosines, head.cosine[class_idx][order], atol=2e-7)


def test_the_macro_answers_as_the_catalog_does(catalog, connection, head):
    for k in (25, 100, 101, 999):
        asked = f"FROM neighbors('{head.name}', 'Dungeness crab', k := {k})"
        assert (
            connection.execute(asked).fetchall()
            == catalog.similar("Dungeness crab", models=head.name, k=k).fetchall()
        )


def test_the_first_neighbors_of_dungeness_crab_are_crabs(catalog, head):
    first = catalog.similar("Dungeness crab", models=head.name, k=3).fetchall()
    assert [row[3] for row in first] == ["king crab", "rock crab", "American lobster"]


def prototype(head, positive, negative=()):
    rows = head.standardized
    total = sum(rows[i] for i in positive) - sum((rows[i] for i in negative), np.zeros(1280))
    return cosine_matrix(np.vstack([rows, total]))[-1, :-1]


@pytest.mark.parametrize(
    ("text", "positive", "negative"),
    [
        ("king crab + American lobster - crayfish", (121, 122), (124,)),
        ("tench + goldfish", (0, 1), ()),
        ("n01440764 - n01443537", (0,), (1,)),
        ("Dungeness crab + Dungeness crab", (118, 118), ()),
        ('"black-and-tan coonhound" + beagle', (165, 162), ()),
    ],
)
def test_class_algebra_is_the_naive_sum_of_rows(catalog, head, text, positive, negative):
    cosines = prototype(head, positive, negative)
    rows = catalog.similar(text, models=head.name, k=50).fetchall()
    order = nearest(cosines.astype(np.float32), 50, (*positive, *negative))
    labels = catalog.classes(head.name).fetchall()
    assert [row[3] for row in rows] == [labels[i][2] for i in order]
    assert [row[2] for row in rows] == list(range(1, 51))
    np.testing.assert_allclose([row[5] for row in rows], cosines[order], atol=2e-7)
    assert {(row[0], row[1]) for row in rows} == {(head.name, text)}


def test_class_algebra_may_keep_its_own_classes(catalog, head):
    rows = catalog.similar("tench + goldfish", models=head.name, k=2, include_self=True).fetchall()
    assert {row[3] for row in rows} == {"tench", "goldfish"}


def test_class_algebra_euclidean_is_measured_from_the_normalised_sum(catalog, head):
    total = head.standardized[0] + head.standardized[1]
    total = (total - total.mean()) / total.std(ddof=1)
    rows = catalog.similar("tench + goldfish", models=head.name, k=5).fetchall()
    labels = [row[2] for row in catalog.classes(head.name).fetchall()]
    expected = [np.linalg.norm(total - head.standardized[labels.index(row[3])]) for row in rows]
    np.testing.assert_allclose([row[6] for row in rows], expected, rtol=1e-4)


def test_a_real_head_is_asked_in_every_model_at_once(catalog, heads):
    rows = catalog.similar("Dungeness crab", k=10).fetchall()
    assert [row[0] for row in rows] == [name for name in REAL for _ in range(10)]
    single = [catalog.similar("Dungeness crab", models=n, k=10).fetchall() for n in REAL]
    assert rows == [row for answer in single for row in answer]
    reverse = catalog.similar("Dungeness crab", models=REAL[::-1], k=1).fetchall()
    assert [row[0] for row in reverse] == list(REAL[::-1])


def test_relations_turn_into_arrow_tables(catalog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = catalog.similar("Dungeness crab", k=5).to_arrow_table()
    assert table.num_rows == 15
    assert table.column_names[0] == "model"


def test_bias_mean_and_deviation_are_those_of_the_raw_row(catalog, head):
    stored = catalog.classes(head.name).fetchnumpy()
    np.testing.assert_array_equal(stored["bias"], head.bias)
    W = head.weight.astype(np.float64)
    np.testing.assert_allclose(stored["mean"], W.mean(axis=1), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(stored["std"], W.std(axis=1, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(stored["norm"], np.sqrt(1279), rtol=1e-6)


def test_the_raw_head_can_be_had_back_from_the_file(connection, head):
    found = connection.execute(
        "SELECT vector, scale, mean FROM weights JOIN classes USING (model_id, class_idx) "
        "JOIN models USING (model_id) WHERE name = ? ORDER BY class_idx",
        [head.name],
    ).fetchall()
    raw = np.array([np.array(vector) * scale + mean for vector, scale, mean in found])
    np.testing.assert_allclose(raw, head.weight, rtol=0, atol=2e-7 * np.abs(head.weight).max())
