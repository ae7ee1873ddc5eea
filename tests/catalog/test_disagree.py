"""`Catalog.disagree`: classes whose relations to all others differ, against scipy class by class."""

from __future__ import annotations

import numpy as np
import pytest
from agreeing import add, aligned, dicts, made, nearest, shared
from oracle import REAL, cosine_matrix
from scipy.stats import false_discovery_control, spearmanr

import classrel_db
from classrel_db.errors import ArgumentError, UnknownModelError

LITE0, LITE1, LITE2 = REAL
COLUMNS = [
    "model_a", "model_b", "rank", "class", "concept", "n", "correlation", "p_value", "q_value",
    "jaccard", "gained", "lost",
]  # fmt: skip

C = [f"c{i:02d}" for i in range(30)]
# most classes stand alike in both, the first two are strangers in the second
ALPHA = made("alpha", C[:26], dim=12, seed=1, noise=0.1)
_CHANGED = made("beta", C[4:], dim=10, seed=2, noise=0.1).weight.copy()
_CHANGED[[1, 2]] = 8 * np.random.default_rng(0).normal(size=(2, 10))
BETA = made(
    "beta", list(reversed(C[4:])), weight=_CHANGED[::-1], labels=[f"B {c}" for c in reversed(C[4:])]
)
FLAT = made("flat", C[:8], weight=np.diag(np.arange(1.0, 9.0)))
_LONE = np.random.default_rng(1).normal(size=(8, 8))
_LONE[0], _LONE[1:, 0] = np.eye(8)[0], 0  # the first class is as unlike to every other
HALF = made("half", C[:8], weight=_LONE)
FAR = made("far", [f"x{i}" for i in range(6)])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disagree")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ALPHA, BETA, FAR)
        add(catalog, folder, FLAT, HALF, normalize="none")
        yield catalog


@pytest.fixture(scope="module")
def real(database):
    with classrel_db.open(database) as catalog:
        rows = catalog.disagree(LITE0, LITE2, k=1000, permutations=29)
        assert rows.columns == COLUMNS
        return dicts(rows)


def naive_profiles(S, T):
    n = len(S)
    return np.asarray(
        [spearmanr(np.delete(S[i], i), np.delete(T[i], i)).statistic for i in range(n)]
    )


def test_every_class_correlates_as_scipy_has_it(real, heads, catalog):
    expected = naive_profiles(heads[LITE0].cosine, heads[LITE2].cosine)
    index = {row[3]: row[1] for row in catalog.classes(LITE0).fetchall()}
    found = np.asarray([row["correlation"] for row in real])
    np.testing.assert_allclose(found, [expected[index[row["concept"]]] for row in real], atol=2e-5)
    assert sorted(index[row["concept"]] for row in real) == list(range(1000))
    assert (np.diff(found) >= 0).all()
    assert [row["rank"] for row in real] == list(range(1, 1001))
    assert {(row["model_a"], row["model_b"], row["n"]) for row in real} == {(LITE0, LITE2, 1000)}


def test_gained_and_lost_are_what_the_naive_neighbours_say(real, heads, catalog):
    listed = catalog.classes(LITE0).fetchall()
    labels = [row[2] for row in listed]
    index = {row[3]: row[1] for row in listed}
    for row in real[::37]:
        i = index[row["concept"]]
        before, after = (nearest(heads[name].cosine, i)[:10] for name in (LITE0, LITE2))
        assert row["class"] == labels[i]
        assert row["gained"] == [labels[j] for j in after if j not in before]
        assert row["lost"] == [labels[j] for j in before if j not in after]
        kept = len(set(before) & set(after))
        assert row["jaccard"] == pytest.approx(kept / (20 - kept))
    assert any(row["gained"] for row in real[::37])


def test_q_is_adjusted_over_all_classes_however_few_are_shown(small):
    rows = dicts(small.disagree("alpha", "beta", k=22, permutations=99))
    p = [row["p_value"] for row in rows]
    assert [row["q_value"] for row in rows] == pytest.approx(false_discovery_control(p).tolist())
    few = dicts(small.disagree("alpha", "beta", k=3, permutations=99))
    assert few == rows[:3]
    # not what the three by themselves would give
    alone = false_discovery_control(p[:3]).tolist()
    assert [row["q_value"] for row in few] != pytest.approx(alone)
    assert [row["q_value"] for row in rows] != pytest.approx(p)


def test_by_default_there_are_twenty_classes_and_ten_neighbours(real, catalog):
    rows = dicts(catalog.disagree(LITE0, LITE2, permutations=29))
    assert rows == real[:20]
    assert max(len(row["gained"]) for row in real) <= 10


def test_p_counts_the_matchings_that_agree_as_well(real, small):
    shares = np.asarray([row["p_value"] for row in real]) * 30
    np.testing.assert_allclose(shares, shares.round(), atol=1e-9)
    assert 1 <= shares.min() <= shares.max() <= 30
    # the class that is most alike is never matched as well by chance, a stranger often
    rows = dicts(small.disagree("alpha", "beta", k=22))
    assert rows[-1]["p_value"] == 0.001
    assert rows[0]["p_value"] > 0.05
    unjudged = dicts(small.disagree("alpha", "beta", permutations=0))
    assert {(row["p_value"], row["q_value"]) for row in unjudged} == {(None, None)}


def test_strangers_come_first_over_two_label_spaces(small):
    rows = dicts(small.disagree("alpha", "beta", k=22, near=5))
    both = shared(ALPHA, BETA)
    assert {row["concept"] for row in rows[:2]} == {"c05", "c06"}
    A, B = aligned(ALPHA, BETA)
    S, T = cosine_matrix(A), cosine_matrix(B)
    expected = dict(zip(both, naive_profiles(S, T), strict=True))
    for row in rows:
        assert row["n"] == len(both) == 22
        assert row["correlation"] == pytest.approx(expected[row["concept"]], abs=1e-6)
        i = both.index(row["concept"])
        before, after = (nearest(M, i)[:5] for M in (S, T))
        assert row["gained"] == [f"the {both[j]}" for j in after if j not in before]
        assert row["lost"] == [f"the {both[j]}" for j in before if j not in after]
        assert row["jaccard"] == len(set(before) & set(after)) / len(set(before) | set(after))


def test_the_models_in_the_other_order_swap_gained_and_lost_and_nothing_else(small):
    there = dicts(small.disagree("alpha", "beta", k=22, permutations=19))
    back = dicts(small.disagree("beta", "alpha", k=22, permutations=19))

    def renamed(text: str) -> str:  # labels are those of the model that is named first
        return text.replace("B c", "the c")

    swapped = [
        {
            **row,
            "model_a": "alpha",
            "model_b": "beta",
            "class": renamed(row["class"]),
            "gained": [renamed(label) for label in row["lost"]],
            "lost": [renamed(label) for label in row["gained"]],
        }
        for row in back
    ]
    assert swapped == there
    assert all(row["class"].startswith("B c") for row in back)
    assert {(row["model_a"], row["model_b"]) for row in back} == {("beta", "alpha")}


def test_a_seed_changes_p_alone(small):
    first, other, again = (
        dicts(small.disagree("alpha", "beta", permutations=19, seed=seed)) for seed in (1, 2, 1)
    )
    assert first == again
    assert [row["p_value"] for row in first] != [row["p_value"] for row in other]
    for row in (*first, *other):
        row.pop("p_value"), row.pop("q_value")
    assert first == other


def test_a_constant_profile_has_no_correlation_and_comes_last(small):
    rows = dicts(small.disagree("alpha", "half", normalize="none", permutations=9))
    assert [row["concept"] for row in rows][-1] == "c00"
    assert [rows[-1][c] for c in ("correlation", "p_value", "q_value")] == [None] * 3
    known = [row["p_value"] for row in rows[:-1]]
    assert [row["q_value"] for row in rows[:-1]] == pytest.approx(
        false_discovery_control(known).tolist()
    )
    flat = dicts(small.disagree("flat", "alpha", normalize="none", permutations=9))
    assert {row["correlation"] for row in flat} == {None}
    assert {row["q_value"] for row in flat} == {None}
    assert [row["concept"] for row in flat] == C[:8]


@pytest.mark.parametrize("normalization", ["center", "none"])
def test_raw_heads_under_another_normalisation(small, normalization):
    rows = dicts(small.disagree("alpha", "beta", k=22, permutations=0, normalize=normalization))
    A, B = aligned(ALPHA, BETA, normalization)
    found = naive_profiles(cosine_matrix(A), cosine_matrix(B))
    expected = dict(zip(shared(ALPHA, BETA), found, strict=True))
    for row in rows:
        assert row["correlation"] == pytest.approx(expected[row["concept"]], abs=5e-3)


def test_progress_counts_permutations(small):
    steps = []
    small.disagree("alpha", "beta", permutations=120, progress=steps.append)
    assert [(step.done, step.total) for step in steps] == [(50, 120), (100, 120), (120, 120)]
    assert {step.stage for step in steps} == {"classes"}


@pytest.mark.parametrize(
    ("models", "given", "said"),
    [
        (("alpha", "alpha"), {}, '"alpha" is named twice'),
        (("alpha", "far"), {}, "share no class"),
        (("alpha", "beta"), {"k": 0}, r"k is 0; .* from 1 to 22 \(22 shared classes"),
        (("alpha", "beta"), {"k": 23}, "k is 23; .* from 1 to 22"),
        (("alpha", "beta"), {"k": 1.5}, "k is 1.5"),
        (("alpha", "beta"), {"near": 0}, "near is 0; .* from 1 to 20"),
        (("alpha", "beta"), {"near": 21}, "near is 21; .* from 1 to 20"),
        (("alpha", "beta"), {"permutations": -1}, "permutations is -1"),
        (("alpha", "beta"), {"permutations": 1.5}, "permutations is 1.5"),
        (("alpha", "beta"), {"seed": -1}, "seed is -1"),
        (("alpha", "beta"), {"normalize": "no"}, "accepted"),
    ],
)
def test_what_cannot_be_asked_is_refused(small, models, given, said):
    with pytest.raises(ArgumentError, match=said):
        small.disagree(*models, **given)


def test_an_unknown_model_is_refused(small):
    with pytest.raises(UnknownModelError, match='did you mean "beta"'):
        small.disagree("alpha", "betta")
