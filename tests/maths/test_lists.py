"""Nearest rows in blocks and in lists, against a naive sort of float64 cosines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cosine_matrix
from threadpoolctl import threadpool_limits

from classrel_db.maths import lists
from classrel_db.maths.lists import Lists, Rows, near_lists, nearest_among, nearest_in_blocks
from classrel_db.storage.index import train_centroids


def rows_of(matrix):
    matrix = np.asarray(matrix, dtype=np.float32)
    return Rows(matrix, np.linalg.norm(matrix.astype(np.float64), axis=1))


def naive(cosines, own, k):
    """The k highest of a row but ``own``: by falling cosine as float32, then by index."""
    order = sorted((i for i in range(len(cosines)) if i != own), key=lambda i: (-cosines[i], i))
    return order[:k]


@st.composite
def heads(draw):
    """Small heads of few different values, so that many cosines are equal."""
    n, dim = draw(st.integers(3, 40)), draw(st.integers(2, 5))
    values = draw(st.lists(st.integers(-2, 2), min_size=n * dim, max_size=n * dim).map(np.asarray))
    matrix = values.reshape(n, dim).astype(np.float32)
    matrix[(matrix == 0).all(axis=1), 0] = 1
    return matrix


@given(heads(), st.data())
@settings(max_examples=100)
def test_neighbours_are_those_of_a_naive_sort_whatever_the_blocks(matrix, data):
    n = len(matrix)
    k = data.draw(st.integers(1, n - 1))
    block = data.draw(st.integers(1, n + 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "CANDIDATES", block)
        everyone = np.arange(n)
        found, cosines = nearest_among(rows_of(matrix), everyone, everyone, k, lambda: None)
    true = cosine_matrix(matrix)
    # equal but for rounding is equal: as the product says, to a grid far above it
    snapped = ((true + 4096.0) - 4096.0).clip(-1, 1).astype(np.float32)
    for row in range(n):
        assert found[row].tolist() == naive(snapped[row], row, k)
        assert np.array_equal(cosines[row], snapped[row][found[row]])


@given(heads(), st.data())
def test_a_search_among_some_finds_the_nearest_of_these(matrix, data):
    n = len(matrix)
    some = np.asarray(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=2))))
    query = data.draw(st.integers(0, n - 1))
    k = data.draw(st.integers(1, len(some) - 1))
    found, _ = nearest_among(rows_of(matrix), np.asarray([query]), some, k, lambda: None)
    snapped = ((cosine_matrix(matrix)[query] + 4096.0) - 4096.0).clip(-1, 1).astype(np.float32)
    others = sorted((int(i) for i in some if i != query), key=lambda i: (-snapped[i], i))
    assert found[0].tolist() == others[:k]


@given(heads(), st.integers(1, 45), st.integers(1, 9))
def test_a_vector_finds_the_same_rows_in_any_blocks(matrix, k, size):
    query = np.ones(matrix.shape[1]) / np.sqrt(matrix.shape[1])
    everyone = np.arange(len(matrix))
    blocks = [
        (everyone[at : at + size], matrix[at : at + size]) for at in range(0, len(matrix), size)
    ]
    indices, cosines, norms = nearest_in_blocks(query, blocks, k)
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    true = matrix.astype(np.float64) @ query / lengths
    snapped = ((true + 4096.0) - 4096.0).clip(-1, 1).astype(np.float32)
    expected = naive(snapped, -1, k)
    assert indices.tolist() == expected
    assert np.array_equal(cosines, snapped[expected])
    assert np.allclose(norms, lengths[expected], rtol=1e-15)


@pytest.fixture(scope="module")
def parted(heads_of_lite0):
    rows = rows_of(heads_of_lite0)
    sample = rows.unit(slice(None)).astype(np.float32)
    centroids = train_centroids(sample, 40, 0)
    return rows, centroids, Lists(centroids, near_lists(rows.unit(slice(None)), centroids))


@pytest.fixture(scope="module")
def heads_of_lite0(request):
    return request.getfixturevalue("heads")["efficientnet_lite0"].standardized


def test_each_class_is_in_the_list_of_the_nearest_centroid(parted, heads_of_lite0):
    _, centroids, found = parted
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    scores = (heads_of_lite0 / np.linalg.norm(heads_of_lite0, axis=1)[:, None]) @ centroids.T
    best = scores.max(axis=1)
    assert np.allclose(scores[np.arange(1000), found.own], best, atol=1e-6)
    members = [found.members(number).tolist() for number in range(len(found))]
    assert sorted(np.concatenate(members).astype(int).tolist()) == list(range(1000))
    assert all(part == sorted(part) for part in members)


def test_the_lists_around_one_are_all_lists_itself_first(parted):
    _, _, found = parted
    for number in range(len(found)):
        around = found.around(number)
        assert sorted(around) == list(range(len(found)))
        if len(found.members(number)):
            assert around[0] == number


def test_the_share_found_is_what_the_ranks_of_the_lists_say(parted, heads_of_lite0):
    """The number of lists is chosen by ranks, without a search: a search must find just as many."""
    _, _, found = parted
    asked = np.arange(0, 1000, 7)
    cosines = cosine_matrix(heads_of_lite0)
    truth = np.asarray([naive(cosines[one], one, 10) for one in asked])
    places = found.ranks(asked, truth)
    for searched in (1, 3, 10, 40):
        hits = 0
        for one, true in zip(asked, truth, strict=True):
            candidates = found.candidates(int(found.own[one]), searched, 1)
            hits += np.isin(true, candidates).sum()
        assert hits == (places < searched).sum()
    assert (places < 40).all()


def test_so_many_lists_are_searched_that_there_are_enough(parted):
    _, _, found = parted
    for least in (1, 101, 1000):
        assert len(found.candidates(0, 1, least)) >= least


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_centroids_and_lists_are_the_same_with_any_number_of_threads(parted, threads):
    import faiss

    rows, centroids, found = parted
    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(threads)
        with threadpool_limits(threads):
            sample = rows.unit(slice(None)).astype(np.float32)
            again = train_centroids(sample, 40, 0)
            near = near_lists(rows.unit(slice(None)), again)
    finally:
        faiss.omp_set_num_threads(before)
    assert np.array_equal(again, centroids)
    assert np.array_equal(near[:, 0], found.own)
