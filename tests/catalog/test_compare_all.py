"""`Catalog.compare_all`, what it keeps, groups of models, and the noise ceiling."""

from __future__ import annotations

import io
import shutil
from itertools import combinations

import duckdb
import numpy as np
import pytest
from agreeing import COLUMNS, MEASURES, add, agreement, aligned, dicts, made, normalized
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import cosine_matrix
from scipy.stats import rankdata

import classrel_db
from classrel_db.catalog import comparing as comparing_module
from classrel_db.catalog import couples as couples_module
from classrel_db.catalog.correlating import Vectors, blocks, correlations
from classrel_db.catalog.heads import Heads
from classrel_db.errors import ArgumentError, LockedDatabaseError, UnknownModelError
from classrel_db.render.comparisons import matrices

C = [f"c{i:02d}" for i in range(20)]
NEAR = made("near", C[:12], dim=8, seed=1, noise=0.2)
# between the two that are alike, in the order of the database
STRANGE = made("strange", C[:12], seed=9, weight=np.random.default_rng(3).normal(size=(12, 6)))
CLOSE = made("close", C[:12], dim=6, seed=2, noise=0.2)
WIDE = made("wide", list(reversed(C[5:18])), dim=9, seed=4, noise=0.5)
FEW = made("few", [*C[:3], "y0", "y1"], seed=5)
CENTRED = made("centred", C[:12], dim=5, seed=6)
HEADS = {head.name: head for head in (NEAR, STRANGE, CLOSE, WIDE, FEW, CENTRED)}
COMPARABLE = {
    frozenset(two)
    for two in [
        ("near", "strange"), ("near", "close"), ("near", "wide"), ("strange", "close"),
        ("strange", "wide"), ("close", "wide"),
    ]
}  # fmt: skip


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    with classrel_db.open(folder / "all.duckdb") as catalog:
        add(catalog, folder, NEAR, STRANGE, CLOSE, WIDE, FEW)
        add(catalog, folder, CENTRED, normalize="center")
        catalog.tag("near", family="tree")
        catalog.tag("close", family="tree")
        catalog.tag("strange", family="bush")
        catalog.tag("wide", family="bush")
    return folder / "all.duckdb"


@pytest.fixture
def path(made_once, tmp_path):
    """Six small models: four can be compared with each other."""
    return shutil.copy(made_once, tmp_path / "all.duckdb")


@pytest.fixture
def catalog(path):
    with classrel_db.open(path) as opened:
        yield opened


def stored(path, what="SELECT * FROM comparisons ORDER BY ALL"):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(what).fetchall()


def pairs_of(rows):
    return [frozenset((row["model_a"], row["model_b"])) for row in rows]


@pytest.fixture
def steps(catalog):
    """Run compare_all and say how many pairs of models it computed."""

    def of(*given, **options):
        told = []
        catalog.compare_all(*given, **options, progress=told.append)
        done = {step.model: step.done for step in told if step.stage == "models"}
        return sum(done.values())

    return of


# what is computed and kept


def test_every_two_models_that_can_be_compared_are(catalog, path):
    rows = catalog.compare_all()
    assert rows.columns == COLUMNS
    listed = dicts(rows)
    assert set(pairs_of(listed)) == COMPARABLE
    assert len(listed) == len(COMPARABLE)
    for row in listed:
        assert row["measure"] == "rsa-spearman"
        assert (row["permutations"], row["resamples"], row["seed"]) == (0, 0, 0)
        assert [row[c] for c in ("low", "high", "p_value", "q_value", "k")] == [None] * 5
        A, B = aligned(HEADS[row["model_a"]], HEADS[row["model_b"]])
        assert row["n"] == len(A) == (7 if "wide" in (row["model_a"], row["model_b"]) else 12)
        assert row["estimate"] == pytest.approx(agreement("rsa-spearman", A, B), abs=1e-5)
    catalog.close()
    ids = dict(stored(path, "SELECT name, model_id FROM models"))
    kept = stored(path, "SELECT model_a, model_b, estimate, n FROM comparisons")
    found = {
        (*sorted(ids[name] for name in pair), row["estimate"], row["n"])
        for pair, row in zip(pairs_of(listed), listed, strict=True)
    }
    assert set(kept) == found
    named = stored(path, "SELECT model_a, model_b, measure, estimate, normalization FROM agreement")
    assert {(frozenset(row[:2]), *row[2:]) for row in named} == {
        (
            frozenset((row["model_a"], row["model_b"])),
            row["measure"],
            row["estimate"],
            "standardize",
        )
        for row in listed
    }


@pytest.mark.parametrize("judged", [{}, {"permutations": 19, "resamples": 19, "seed": 5}])
def test_the_numbers_are_those_of_compare_over_two_label_spaces_too(catalog, judged):
    rows = dicts(catalog.compare_all(measures=MEASURES, **judged))
    assert len(rows) == len(COMPARABLE) * len(MEASURES)
    given = {"permutations": 0, "resamples": 0, **judged}
    single = {
        (pair, row["measure"]): row
        for pair in COMPARABLE
        for row in dicts(catalog.compare(*pair, **given))
    }
    for row, pair in zip(rows, pairs_of(rows), strict=True):
        other = single[pair, row["measure"]]
        for column in ("estimate", "low", "high", "p_value", "null_value"):
            expected = other[column]
            if expected is not None:
                expected = pytest.approx(expected, abs=1e-9)
            assert row[column] == expected, (row["measure"], pair, column)
        for column in ("n", "k", "normalization", "permutations", "resamples", "seed"):
            assert row[column] == other[column]


def test_what_is_known_is_not_computed_again(catalog, path, steps, monkeypatch):
    assert steps() == len(COMPARABLE)
    catalog.close()
    before = path.read_bytes()
    for module, name in ((comparing_module, "judge"), (couples_module, "correlations")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed again"))
    assert steps() == 0
    assert len(catalog.compare_all().fetchall()) == len(COMPARABLE)
    catalog.close()
    assert path.read_bytes() == before


def test_only_what_is_missing_is_computed(catalog, steps, tmp_path):
    assert steps(["near", "close"]) == 1
    assert steps(["near", "close", "wide"]) == 2
    assert steps() == len(COMPARABLE) - 3
    assert steps(measures=["rsa-spearman", "cka"]) == len(COMPARABLE)
    more = made("more", C[:12], seed=11)
    add(catalog, tmp_path, more)
    assert steps(measures=["rsa-spearman", "cka"]) == 8


def test_more_permutations_or_resamples_or_another_seed_are_computed_anew(catalog, steps):
    both = ["near", "close"]
    assert steps(both) == 1
    assert steps(both, permutations=9) == 1
    assert steps(both, permutations=9) == 0
    assert steps(both, permutations=5) == 0  # nine are known
    assert steps(both) == 0
    (row,) = dicts(catalog.compare_all(both, permutations=5))
    assert (row["permutations"], row["p_value"]) == (9, 0.1)
    assert steps(both, permutations=9, seed=1) == 1
    assert steps(both, permutations=9, resamples=9, seed=1) == 1
    (row,) = dicts(catalog.compare_all(both, permutations=9, resamples=9, seed=1))
    assert (row["permutations"], row["resamples"], row["seed"]) == (9, 9, 1)
    assert row["low"] < row["high"]


def test_each_k_is_kept_beside_the_others(catalog, steps, path):
    three, four = ({"measures": "knn-jaccard", "k": k} for k in (3, 4))
    assert steps(**three) == steps(**four) == len(COMPARABLE)
    assert steps(**three) == steps(**four) == 0
    assert {row["k"] for row in dicts(catalog.compare_all(**three))} == {3}
    assert {row["k"] for row in dicts(catalog.compare_all(**four))} == {4}


def test_nothing_that_is_not_defined_is_tried_again(catalog, steps, tmp_path):
    flat = made("flat", C[:12], weight=np.diag(np.arange(1.0, 13.0)))
    add(catalog, tmp_path, flat)
    asked = {"models": ["near", "flat"], "normalize": "none"}
    for more in ({}, {"permutations": 9}):
        rows = dicts(catalog.compare_all(**asked, measures=["rsa-spearman", "rsa-kendall"], **more))
        assert [row["estimate"] for row in rows] == [None, None]
        assert [row["p_value"] for row in rows] == [None, None]
    assert steps(**asked, measures=["rsa-spearman", "rsa-kendall"], permutations=99) == 0


def test_another_normalisation_stands_beside_the_stored_one(catalog, path):
    plain = catalog.compare_all().fetchall()
    before = stored(path)
    rows = dicts(catalog.compare_all(normalize="center"))
    assert {row["normalization"] for row in rows} == {"center"}
    assert len(rows) == 10  # the centred model too
    expected = agreement("rsa-spearman", *aligned(NEAR, CENTRED, "center"))
    (found,) = [
        r["estimate"] for r in rows if set(pairs_of([r])) == {frozenset(("near", "centred"))}
    ]
    assert found == pytest.approx(expected, abs=1e-5)
    catalog.close()
    assert set(before) < set(stored(path))
    assert catalog.compare_all().fetchall() == plain
    assert len(stored(path)) == len(before) + 10


@pytest.mark.parametrize("measures", [["cka", "rbo"], ["procrustes"]])
def test_alike_models_stand_side_by_side(catalog, measures):
    """Of procrustes, a distance, the small values are alike."""
    rows = catalog.compare_all(["near", "strange", "close"], measures=measures)
    file = io.StringIO()
    matrices(rows, file)
    lines = [line.split() for line in file.getvalue().splitlines()]
    shown = [line[1] for line in lines if len(line) == 5 and line[0] in {"1", "2", "3"}]
    assert len(shown) == 3 * len(measures)
    assert shown[1] != "strange"
    # rows are as the view has them, in the order of ingest
    names = [name for name, *_ in catalog.models().fetchall()]
    for row in dicts(rows):
        assert names.index(row["model_a"]) < names.index(row["model_b"])
    assert [row["measure"] for row in dicts(rows)] == [m for m in measures for _ in range(3)]


def test_one_model_has_nothing_to_be_compared_with(catalog):
    assert catalog.compare_all("near").fetchall() == []
    assert catalog.compare_all(["near", "near"]).fetchall() == []


# models that go, or change


def test_the_rows_of_a_removed_model_go(catalog, path):
    catalog.compare_all(measures=["rsa-spearman", "cka"])
    catalog.remove("wide")
    rows = dicts(catalog.compare_all(measures=["rsa-spearman", "cka"]))
    assert set(pairs_of(rows)) == {pair for pair in COMPARABLE if "wide" not in pair}
    catalog.close()
    assert len(stored(path)) == 6
    assert stored(path, "SELECT model FROM tagged_models ORDER BY ALL") == [
        ("close",), ("near",), ("strange",),
    ]  # fmt: skip


def test_the_rows_of_a_replaced_model_go_and_its_tags_stay(catalog, path, tmp_path, steps):
    old = dicts(catalog.compare_all())
    changed = made("wide", WIDE.concepts, dim=4, seed=40)
    add(catalog, tmp_path, changed, replace=True)
    catalog.close()
    assert len(stored(path)) == 3
    assert ("wide", "family", "bush") in stored(path, "FROM tagged_models")
    assert steps() == 3
    rows = dicts(catalog.compare_all())
    assert len(rows) == len(old)
    new = {pair: row["estimate"] for pair, row in zip(pairs_of(rows), rows, strict=True)}
    expected = agreement("rsa-spearman", *aligned(changed, NEAR))
    assert new[frozenset(("wide", "near"))] == pytest.approx(expected, abs=1e-5)


def test_a_model_removed_while_it_is_compared_leaves_no_row(catalog, path):
    def remove_wide(step):
        if step.stage == "models" and step.done == step.total:
            with classrel_db.open(path) as other:
                other.remove("wide")

    catalog.compare_all(measures="cka", progress=lambda step: (catalog.close(), remove_wide(step)))
    catalog.close()
    assert len(stored(path)) == 3
    assert len(stored(path, "FROM agreement")) == 3


# interruptions


@pytest.mark.parametrize("measure", ["cka", "rsa-spearman"])
def test_an_interruption_keeps_what_is_finished(catalog, path, steps, measure):
    def stop(step):
        if step.stage == "models" and step.done >= 3:
            told.append(step.done)
            raise KeyboardInterrupt

    told = []
    with pytest.raises(KeyboardInterrupt):
        catalog.compare_all(measures=measure, progress=stop)
    assert all(row[2] for row in catalog.check().fetchall())
    catalog.close()
    kept = stored(path)
    assert len(kept) == told[0] == 3
    assert steps(measures=measure) == 3
    catalog.close()
    assert set(kept) < set(stored(path))
    assert len(stored(path)) == 6


def test_an_error_keeps_what_is_finished_too(catalog, path):
    def stop(step):
        if step.stage == "models" and step.done == 2:
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        catalog.compare_all(measures="cka", progress=stop)
    catalog.close()
    assert len(stored(path)) == 2


def test_what_is_finished_is_kept_now_and_then(catalog, path, monkeypatch):
    monkeypatch.setattr(couples_module, "_FLUSH_SECONDS", 0.0)
    seen = []

    def look(step):
        if step.stage == "models":
            catalog.close()
            seen.append(len(stored(path)))

    catalog.compare_all(measures="cka", progress=look)
    assert seen == [0, 1, 2, 3, 4, 5]


# what is refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"measures": "ckaa"}, 'did you mean "cka"'),
        ({"permutations": -1}, "permutations is -1"),
        ({"resamples": 1.5}, "resamples is 1.5"),
        ({"seed": -3}, "seed is -3"),
        ({"normalize": "z"}, "accepted: standardize"),
        ({"k": 6, "measures": "knn-jaccard"}, "share 7 classes.*from 1 to 5"),
        ({"ancestors": True}, "by concept and by the map alone"),
        ({"models": []}, "no model is named"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_kept(catalog, path, given, said):
    with pytest.raises(ArgumentError, match=said):
        catalog.compare_all(**given)
    catalog.close()
    assert stored(path) == []


def test_an_unknown_model_is_refused(catalog):
    with pytest.raises(UnknownModelError, match='did you mean "near"'):
        catalog.compare_all(["nearr", "close"])


# groups


def test_groups_are_held_against_each_other_by_hand(catalog):
    rows = catalog.group_agreement("family")
    assert rows.columns == [
        "measure", "part", "group_a", "group_b", "pairs", "mean", "p_value", "permutations", "seed",
    ]  # fmt: skip
    estimate = {
        frozenset((row["model_a"], row["model_b"])): row["estimate"]
        for row in dicts(catalog.compare_all())
    }

    def mean(*pairs):
        return np.mean([estimate[frozenset(pair)] for pair in pairs])

    tree, bush = [("near", "close")], [("strange", "wide")]
    across = [(a, b) for a in ("near", "close") for b in ("strange", "wide")]
    differences = []
    for group in (("near", "close"), ("near", "strange"), ("near", "wide")):
        rest = tuple({"near", "close", "strange", "wide"} - set(group))
        mixed = [(a, b) for a in group for b in rest]
        differences.append(mean(group, rest) - mean(*mixed))
    p = np.mean([each >= differences[0] - 1e-9 for each in differences])
    expected = [
        ("within", None, None, 2, mean(*tree, *bush), None, None, None),
        ("between", None, None, 4, mean(*across), None, None, None),
        ("difference", None, None, 6, differences[0], p, 6, 0),
        ("groups", "bush", "bush", 1, mean(*bush), None, None, None),
        ("groups", "bush", "tree", 4, mean(*across), None, None, None),
        ("groups", "tree", "tree", 1, mean(*tree), None, None, None),
    ]
    for row, (*words, average, chance, tried, seed) in zip(rows.fetchall(), expected, strict=True):
        assert row[:5] == ("rsa-spearman", *words)
        assert row[5] == pytest.approx(average)
        assert row[6] == (None if chance is None else pytest.approx(chance))
        assert row[7:] == (tried, seed)


def test_groups_by_a_distance_keep_its_sign_and_are_tested_for_small_ones(catalog):
    four = ["near", "close", "strange", "wide"]
    rows = {
        row["part"]: row for row in dicts(catalog.group_agreement("family", measure="procrustes"))
    }
    distance = {
        frozenset((row["model_a"], row["model_b"])): row["estimate"]
        for row in dicts(catalog.compare_all(four, measures="procrustes"))
    }

    def difference(group):
        rest = [name for name in four if name not in group]
        within = [distance[frozenset(group)], distance[frozenset(rest)]]
        between = [distance[frozenset((a, b))] for a in group for b in rest]
        return np.mean(within) - np.mean(between), np.mean(within)

    tried = [difference(("near", other)) for other in four[1:]]
    assert rows["within"]["mean"] == pytest.approx(tried[0][1])
    assert rows["difference"]["mean"] == pytest.approx(tried[0][0])
    p = np.mean([each <= tried[0][0] + 1e-9 for each, _ in tried])
    assert rows["difference"]["p_value"] == pytest.approx(p)
    assert p != pytest.approx(np.mean([each >= tried[0][0] - 1e-9 for each, _ in tried]))


def test_groups_by_a_column_of_the_models(catalog):
    rows = dicts(catalog.group_agreement("dim", ["near", "close", "strange", "wide"]))
    named = {
        (row["group_a"], row["group_b"]): row["pairs"] for row in rows if row["part"] == "groups"
    }
    assert named[("6", "6")] == 1  # close and strange
    assert named[("6", "8")] == 2
    # pairs of models that cannot be compared count nowhere
    rows = dicts(catalog.group_agreement("normalization", normalize="center"))
    assert {row["part"]: row["pairs"] for row in rows[:3]} == {
        "within": 6, "between": 4, "difference": 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by", "models", "said"),
    [
        ("famly", None, 'no column or tag "famly"; did you mean "family".*label_space'),
        ("source", None, 'source makes only "npz"|groups need two values'),
        ("family", ["near", "close"], 'makes only "tree" of 2 models; groups need two values'),
        ("family", ["few", "centred"], "makes no group of 0 models"),
        ("family", ["near", "strange"], "no two of one group"),
        (
            "normalization",
            ["near", "close", "centred"],
            "no two of one group, or no two of different",
        ),
    ],
)
def test_groups_that_are_none_are_refused(catalog, by, models, said):
    with pytest.raises(ArgumentError, match=said):
        catalog.group_agreement(by, models)


@pytest.mark.parametrize("permutations", [0, -5, 2.5])
def test_groupings_are_one_or_more(catalog, permutations):
    with pytest.raises(ArgumentError, match="permutations is"):
        catalog.group_agreement("family", permutations=permutations)


# the noise ceiling


def test_the_noise_ceiling_by_hand(catalog):
    both = ["rsa-pearson", "rsa-spearman"]
    rows = catalog.noise_ceiling("near", "close", "strange", measures=both)
    assert rows.columns == [
        "measure", "label_space", "normalization", "model", "models", "n", "lower", "upper",
    ]  # fmt: skip
    # models of other label spaces, and those that are normalised in another way, have no part in it
    assert catalog.noise_ceiling(
        "near", "wide", "close", "centred", "strange", measures=both
    ).fetchall() == (rows.fetchall())
    above = np.triu_indices(12, 1)
    for measure, of in (("rsa-pearson", lambda x: x), ("rsa-spearman", rankdata)):
        Z = []
        for head in (NEAR, CLOSE, STRANGE):
            x = of(cosine_matrix(normalized(head.weight))[above])
            Z.append((x - x.mean()) / x.std())
        found = {row["model"]: row for row in dicts(rows) if row["measure"] == measure}
        assert list(found) == ["near", "close", "strange"]
        assert {row["label_space"] for row in found.values()} == {"near"}
        for i, row in enumerate(found.values()):
            others = np.mean([z for j, z in enumerate(Z) if j != i], axis=0)
            assert (row["models"], row["n"]) == (3, 12)
            assert row["lower"] == pytest.approx(np.corrcoef(Z[i], others)[0, 1], abs=1e-5)
            assert row["upper"] == pytest.approx(np.corrcoef(Z[i], sum(Z))[0, 1], abs=1e-5)
            assert row["lower"] < row["upper"]


@pytest.mark.parametrize(
    ("models", "measures", "said"),
    [
        (
            ("near", "close"),
            "rsa-spearman",
            "2 models, and no three of one label space.*leaves one out",
        ),
        (("near", "close", "strange"), "cka", 'no noise ceiling for "cka".*rsa-spearman'),
        (("near", "close", "wide"), "rsa-spearman", "3 models, and no three of one label space"),
        (("near", "close", "centred"), "rsa-spearman", "no three of .* normalised alike"),
        (("near", "close", "strange"), "rsa", "no measure"),
    ],
)
def test_a_ceiling_over_what_has_none_is_refused(catalog, models, measures, said):
    with pytest.raises(ArgumentError, match=said):
        catalog.noise_ceiling(*models, measures=measures)


# while it runs, the world goes on


def interrupting(catalog, act):
    """Compare all, with ``act`` done by another catalog once the first comparisons are made."""
    done = []

    def progress(step):
        if step.stage == "models" and not done:
            catalog.close()  # as it is while what is finished is stored
            done.append(act())

    return catalog.compare_all(measures=["rsa-spearman", "cka"], progress=progress)


def test_a_map_that_comes_meanwhile_leaves_nothing_of_the_old_behind(catalog, path):
    def act():
        with classrel_db.open(path) as other:
            other.map_concepts({"c00": "c17"})

    interrupting(catalog, act)
    catalog.close()
    with classrel_db.open(path) as fresh:
        rows = dicts(fresh.compare_all(measures=["rsa-spearman", "cka"]))
        for row in rows:
            now = fresh.compare(
                row["model_a"], row["model_b"], measures=row["measure"], permutations=0, resamples=0
            )
            ((estimate,),) = now.project("estimate").fetchall()
            assert row["estimate"] == pytest.approx(estimate, abs=1e-9), row


def test_a_model_that_goes_meanwhile_is_said_and_the_rest_is_kept(catalog, path):
    def act():
        with classrel_db.open(path) as other:
            other.remove("wide")

    with pytest.raises(UnknownModelError, match=r"wide .*removed or replaced in the meantime"):
        interrupting(catalog, act)
    catalog.close()
    assert "wide" not in {row[0] for row in stored(path, "SELECT name FROM models")}
    with classrel_db.open(path) as fresh:
        assert all(ok for _, _, ok, _ in fresh.check().fetchall())
        assert fresh.compare_all(measures=["rsa-spearman", "cka"]).fetchall()


def test_a_file_that_another_holds_is_said_before_the_work(catalog, path, monkeypatch):
    def locked(self):
        raise LockedDatabaseError("held elsewhere")

    monkeypatch.setattr("classrel_db.storage.database.Database.writer", locked)
    monkeypatch.setattr(couples_module.Sweep, "_measured", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(LockedDatabaseError):
        catalog.compare_all()


def test_a_coarser_run_takes_nothing_from_a_finer_one(catalog, path):
    catalog.compare_all(["near", "close"], permutations=29, seed=1)
    catalog.compare_all(["near", "close"], resamples=30, seed=2)
    ((permutations, resamples, p, low),) = stored(
        path, "SELECT permutations, resamples, p_value, low FROM agreement"
    )
    assert (permutations, resamples) == (29, 30)
    assert p is not None
    assert low is not None


def test_no_p_depends_on_the_order_of_ingest(tmp_path):
    found = []
    for heads in ((NEAR, WIDE), (WIDE, NEAR)):
        folder = tmp_path / heads[0].name
        folder.mkdir()
        with classrel_db.open(folder / "x.duckdb") as catalog:
            add(catalog, folder, *heads)
            rows = dicts(catalog.compare("near", "wide", permutations=19, resamples=20))
            profiles = dicts(catalog.disagree("near", "wide", permutations=19))
        found.append((rows, profiles))
    assert found[0] == found[1]


# in blocks


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Models of two label spaces that overlap, one of them without differences."""
    folder = tmp_path_factory.mktemp("many")
    heads = [
        made(f"m{i:02d}", C[:12] if i % 3 else list(reversed(C[4:])), dim=5 + i % 4, seed=i)
        for i in range(11)
    ]
    flat = made("flat", C[:12], weight=np.diag(np.arange(1.0, 13.0)))
    with classrel_db.open(folder / "many.duckdb") as catalog:
        add(catalog, folder, *heads, flat, normalize="none")
    return folder / "many.duckdb", {head.name: head for head in (*heads, flat)}


CORRELATIONS = ["rsa-spearman", "rsa-pearson", "second-order-cosine"]


def test_estimates_in_blocks_are_scipys(many, tmp_path):
    path, heads = many
    with classrel_db.open(shutil.copy(path, tmp_path)) as catalog:
        rows = dicts(catalog.compare_all(measures=CORRELATIONS, memory="33 MB"))
    assert len(rows) == 3 * 66
    for row in rows:
        A, B = aligned(heads[row["model_a"]], heads[row["model_b"]], "none")
        if row["measure"] != "second-order-cosine" and "flat" in (row["model_a"], row["model_b"]):
            assert row["estimate"] is None
        else:
            expected = agreement(row["measure"], A, B)
            assert row["estimate"] == pytest.approx(expected, abs=2e-6), row


class Drawn(Vectors):
    """Values as they come, and how often each model's are asked for."""

    def __init__(self, values):
        self.values = values
        self.asked = []

    def of(self, places, each):
        self.asked += list(places)
        for _ in places:
            each()
        return self.values[places]

    def capacity(self, memory):
        return memory


@st.composite
def missing_pairs(draw):
    m = draw(st.integers(2, 14))
    pairs = st.sampled_from(list(combinations(range(m), 2)))
    wanted = np.zeros((m, m), dtype=bool)
    for a, b in draw(st.lists(pairs, max_size=40)):
        wanted[a, b] = wanted[b, a] = True
    return wanted


@settings(max_examples=60, deadline=None)
@given(missing_pairs(), st.integers(2, 20), st.booleans())
def test_no_number_depends_on_the_size_of_the_blocks(wanted, capacity, ranks):
    m, N = len(wanted), 4_200  # more than one chunk
    random = np.random.default_rng(7)
    values = random.normal(size=(m, N))
    if ranks:
        values = np.round(values, 2)
        values = np.stack([rankdata(each) for each in values]).astype(np.float32)

    def found(of, size, told=lambda *_: None):
        pairs = {}
        for some in correlations(of, wanted, size, centered=True, tell=told):
            for a, b, value in zip(*some, strict=True):
                key = frozenset((int(a), int(b)))
                assert key not in pairs
                pairs[key] = value
        return pairs

    steps = []
    drawn = Drawn(values)
    small = found(drawn, capacity, lambda *step: steps.append(step))
    assert set(small) == {frozenset(pair) for pair in np.argwhere(np.triu(wanted)).tolist()}
    for (a, b), value in small.items():
        assert value == pytest.approx(np.corrcoef(values[a], values[b])[0, 1], abs=1e-12)
    at_once = found(Drawn(values), 100)
    assert at_once == (small if ranks else pytest.approx(small, abs=1e-14))
    assert [made for made, _ in steps] == list(range(1, len(drawn.asked) + 1))
    assert {every for _, every in steps} <= {len(drawn.asked)}


@settings(max_examples=60, deadline=None)
@given(missing_pairs(), st.integers(1, 20))
def test_blocks_hold_no_more_than_they_may_and_meet_every_pair(wanted, capacity):
    met = np.zeros_like(wanted)
    for block in blocks(wanted, capacity):
        assert 1 <= len(block.held) <= capacity
        assert not set(block.held) & set(block.passing)
        everyone = np.concatenate([block.held, block.passing])
        met[np.ix_(block.held, everyone)] = met[np.ix_(everyone, block.held)] = True
    assert (met >= wanted).all()


def test_one_new_model_is_read_once_and_so_is_each_of_the_others():
    wanted = np.zeros((50, 50), dtype=bool)
    wanted[7] = wanted[:, 7] = True
    wanted[7, 7] = False
    (block,) = blocks(wanted, 30)
    assert block.held.tolist() == [7]
    assert len(block.passing) == 49
    of = Drawn(np.random.default_rng(1).normal(size=(50, 40)))
    products = sum(
        len(some.values)
        for some in correlations(of, wanted, 10, centered=True, tell=lambda *_: None)
    )
    assert products == 49
    assert sorted(of.asked) == list(range(50))


def test_no_answer_depends_on_the_memory(many, tmp_path):
    path, _ = many
    found = []
    for memory in ("32.2MB", None):
        with classrel_db.open(shutil.copy(path, tmp_path)) as catalog:
            given = {"measures": ["rsa-spearman", "cka"], "memory": memory}
            found.append(catalog.compare_all(**given).fetchall())
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("measure", ["rsa-spearman", "cka"])
def test_too_little_memory_is_said_with_the_least_that_will_do(catalog, path, measure):
    with pytest.raises(ArgumentError, match=r"memory is .* takes at least ([0-9.]+ [kM]B): give"):
        catalog.compare_all(measures=measure, memory=1_000)
    assert stored(path) == []


@pytest.mark.parametrize("memory", ["much", 0, -1, 2.5, "0 GB"])
def test_memory_is_an_amount(catalog, memory):
    with pytest.raises(ArgumentError, match="an amount such as 4GB"):
        catalog.compare_all(memory=memory)


def test_a_heads_points_stay_within_what_may_be_kept(catalog):
    (model,) = catalog._known_now().lookup.models("near")
    heads = Heads(catalog._database.reader, None, 2 * 3 * (8 * 12 * 8 + 28 * 12 * 12))
    orders = [np.roll(np.arange(12), i) for i in range(5)]
    points = [heads.geometry(model, order) for order in orders]
    assert heads.at_once([model]) == 3
    assert heads.geometry(model, orders[2]) is points[2]
    assert heads.geometry(model, orders[4]) is points[4]
    assert heads.geometry(model, orders[1]) is not points[1]
    assert heads.geometry(model, orders[2]) is points[2]
