"""What is said of models and of concepts: tags, the concept map, ancestors in WordNet."""

from __future__ import annotations

import shutil

import duckdb
import numpy as np
import pytest
from agreeing import MEASURES, add, agreement, aligned, dicts, made

import classrel_db
from classrel_db.errors import ArgumentError, UnknownModelError

C = [f"c{i:02d}" for i in range(12)]
E = [f"e{i:02d}" for i in range(12)]
# two label spaces of the same things: five concepts are the same, the others only by a map
ENGLISH = made("english", C[:10], dim=8, seed=1, noise=0.5)
_GERMAN = made("german", C, dim=6, seed=2, noise=0.5)
GERMAN = made(
    "german",
    [*C[:5], *E[5:12]][::-1],
    weight=_GERMAN.weight[::-1],
    labels=[f"ding {i}" for i in range(12)],
)
SAME = made("same", C[:10], dim=7, seed=3, noise=0.5)
MAP = {"c05": "e05", "c06": "e06", "c07": "e07"}
PLAIN = {"permutations": 0, "resamples": 0}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapping")
    with classrel_db.open(folder / "small.duckdb") as catalog:
        add(catalog, folder, ENGLISH, GERMAN, SAME)
    return folder / "small.duckdb"


@pytest.fixture
def path(made_once, tmp_path):
    return shutil.copy(made_once, tmp_path / "small.duckdb")


@pytest.fixture
def catalog(path):
    with classrel_db.open(path) as opened:
        yield opened


def stored(path, what):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(what).fetchall()


def n_of(catalog, *models, **given):
    given = {"measures": "rsa-pearson", **PLAIN, **given}
    ((n,),) = catalog.compare(*models, **given).project("n").fetchall()
    return n


def csv_of(tmp_path, text, name="map.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# the map


def test_mapped_concepts_are_compared_as_one(catalog):
    assert n_of(catalog, "english", "german") == 5
    assert catalog.map_concepts(MAP) == 3
    rows = dicts(catalog.compare("english", "german", **PLAIN))
    both = [*C[:5], *MAP]
    A = aligned(ENGLISH, ENGLISH, concepts=both)[0]
    B = aligned(GERMAN, GERMAN, concepts=[MAP.get(concept, concept) for concept in both])[0]
    assert [row["measure"] for row in rows] == MEASURES
    for row in rows:
        assert row["n"] == 8
        assert row["estimate"] == pytest.approx(agreement(row["measure"], A, B), abs=1e-5)
    listed = dicts(catalog.disagree("english", "german", permutations=0))
    assert {row["concept"] for row in listed} == set(both)
    (twin, *_) = dicts(catalog.counterpart("c06", "english", "german", k=12))
    twins = [row["counterpart_concept"] for row in dicts(
        catalog.counterpart("c06", "english", "german", k=12)) if row["same_concept"]]  # fmt: skip
    assert twins == ["e06"]
    assert twin["anchors"] == 7


def test_either_side_of_the_map_may_be_either_models(catalog):
    catalog.map_concepts(MAP)
    there = dicts(catalog.compare("english", "german", **PLAIN))
    catalog.map_concepts({b: a for a, b in MAP.items()})
    back = dicts(catalog.compare("english", "german", **PLAIN))
    # the classes are sorted by other names now: sums run in another order
    for one, two in zip(there, back, strict=True):
        assert one["n"] == two["n"] == 8
        assert one["estimate"] == pytest.approx(two["estimate"], abs=1e-9)


def test_a_map_persists_until_another_takes_its_place(path, tmp_path):
    file = csv_of(tmp_path, "note,concept_b,concept_a\nx,e05,c05\n\n,e06 , c06\n")
    with classrel_db.open(path) as catalog:
        assert catalog.map_concepts(file) == 2
    with classrel_db.open(path) as catalog:
        assert catalog.mapped_concepts().columns == ["concept_a", "concept_b"]
        assert catalog.mapped_concepts().fetchall() == [("c05", "e05"), ("c06", "e06")]
        assert n_of(catalog, "english", "german") == 7
        assert catalog.map_concepts({"c09": "e09"}) == 1
        assert catalog.mapped_concepts().fetchall() == [("c09", "e09")]
        assert n_of(catalog, "english", "german") == 6
        assert catalog.map_concepts(None) == 0
        assert catalog.mapped_concepts().fetchall() == []
        assert n_of(catalog, "english", "german") == 5
    assert stored(path, "FROM concept_map") == []


def test_a_file_may_have_a_byte_order_mark_and_quotes(catalog, tmp_path):
    file = csv_of(tmp_path, b'\xef\xbb\xbfconcept_a,concept_b\r\n"c05","e05"\r\n')
    assert catalog.map_concepts(str(file)) == 1
    assert n_of(catalog, "english", "german") == 6


def test_a_new_map_drops_what_rests_on_it_and_nothing_else(catalog, path):
    catalog.compare_all(measures=["rsa-pearson", "cka"])
    catalog.close()
    assert len(stored(path, "FROM comparisons")) == 6
    within = stored(
        path, "FROM agreement WHERE model_a = 'english' AND model_b = 'same' ORDER BY ALL"
    )
    assert len(within) == 2
    catalog.map_concepts(MAP)
    catalog.close()
    assert stored(path, "FROM agreement ORDER BY ALL") == within
    rows = dicts(catalog.compare_all())
    assert {frozenset((row["model_a"], row["model_b"])): row["n"] for row in rows} == {
        frozenset(("english", "same")): 10,
        frozenset(("english", "german")): 8,
        frozenset(("same", "german")): 8,
    }


def test_a_model_that_has_both_concepts_tells_them_apart(catalog, tmp_path):
    catalog.map_concepts(MAP)
    both = made("both", [*C[:6], "e05"], seed=8)
    add(catalog, tmp_path, both)
    assert n_of(catalog, "english", "both") == 6
    rows = dicts(catalog.compare("english", "both", measures="rsa-pearson", **PLAIN))
    expected = agreement("rsa-pearson", *aligned(ENGLISH, both, concepts=C[:6]))
    assert rows[0]["estimate"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concept_a,concept_b\nc05,e5\n", r'no model has the concept "e5" of concept_b'),
        ("concept_a,concept_b\nx1,e05\nx2,e06\n", r'the concept "x1", "x2" of concept_a'),
        ("concept_a,concept_b\nc05,e05\nc05,e06\n", '"c05" stands more than once in concept_a'),
        ("concept_a,concept_b\nc05,e05\nc06,e05\n", '"e05" stands more than once in concept_b'),
        ("concept_a,concept_b\nc05,e05\ne05,c06\n", '"e05" stands in both columns'),
        ("concept_a,concept_b\nc05,c05\n", '"c05" stands in both columns'),
        ("concept_a,concept_b\nc05,c06\n", '"c05" and "c06" are two classes of english'),
        ("c05,e05\n", r'has the columns "c05", "e05"; a mapping is a csv file with a header'),
        ("concept_a;concept_b\nc05;e05\n", "a mapping is a csv file with a header"),
        ("", r"has the columns \(none\)"),
        ("concept_a,concept_b\n", "has no pair of concepts; --clear"),
        ("concept_a,concept_b\nc05,e05\nc06\n", "line 3: a concept is missing"),
        ("concept_a,concept_b\nc05, \n", "line 2: a concept is missing"),
        ('concept_a,concept_b\n"c05,e05\n', "as csv"),
        (b"concept_a,concept_b\nc05,\xff\n", "can't read .*map.csv as csv: 'utf-8'"),
    ],
)
def test_a_file_that_is_no_map_is_refused_and_the_old_map_stays(catalog, tmp_path, text, said):
    catalog.map_concepts({"c08": "e08"})
    with pytest.raises(ArgumentError, match=said):
        catalog.map_concepts(csv_of(tmp_path, text))
    assert catalog.mapped_concepts().fetchall() == [("c08", "e08")]


@pytest.mark.parametrize("mapping", [{"c05": ""}, {"c05": 5}, {None: "e05"}])
def test_a_concept_is_text(catalog, mapping):
    with pytest.raises(ArgumentError, match="a concept is text, and not empty"):
        catalog.map_concepts(mapping)


def test_a_file_that_is_not_there_is_refused(catalog, tmp_path):
    with pytest.raises(ArgumentError, match=r"can't read .*none.csv as csv.*No such file"):
        catalog.map_concepts(tmp_path / "none.csv")
    with pytest.raises(ArgumentError, match="can't read"):
        catalog.map_concepts(tmp_path)


# ancestors

CHIHUAHUA, SPANIEL, TOY_DOG, DOG, CANINE, CARNIVORE = (
    "n02085620", "n02085782", "n02085374", "n02084071", "n02083346", "n02075296",
)  # fmt: skip
PAIRS = {
    "n01440764": "n01438208",  # tench, two above
    "n01978287": "n01976957",  # Dungeness crab
    "n02123045": "n02121808",  # tabby
    "n04146614": "n02924116",  # school bus
}


@pytest.fixture
def by_ancestry(tmp_path):
    """The classes that two models of these concepts share where ancestors count, both ways round."""
    catalog = classrel_db.open(tmp_path / "wordnet.duckdb")

    def of(fine, coarse):
        heads = made("fine", fine, seed=1), made("coarse", coarse, dim=5, seed=2)
        add(catalog, tmp_path, *heads, replace=True)
        assert n_of(catalog, "fine", "coarse", ancestors=True) == n_of(
            catalog, "coarse", "fine", ancestors=True
        )
        return heads, catalog

    yield of
    catalog.close()


def test_a_class_stands_for_its_nearest_ancestor(by_ancestry):
    heads, catalog = by_ancestry([*PAIRS, CHIHUAHUA], [*reversed(PAIRS.values()), DOG, CARNIVORE])
    with pytest.raises(ArgumentError, match=r"share no class.*--ancestors"):
        catalog.compare("fine", "coarse")
    rows = dicts(catalog.compare("fine", "coarse", ancestors=True, **PLAIN))
    pairs = PAIRS | {CHIHUAHUA: DOG}
    A = aligned(heads[0], heads[0], concepts=list(pairs))[0]
    B = aligned(heads[1], heads[1], concepts=list(pairs.values()))[0]
    for row in rows:
        assert row["n"] == 5
        assert row["estimate"] == pytest.approx(agreement(row["measure"], A, B), abs=1e-5)
    listed = dicts(catalog.disagree("fine", "coarse", ancestors=True, permutations=0))
    assert {row["concept"] for row in listed} == set(pairs)
    twins = [row["counterpart_concept"] for row in dicts(
        catalog.counterpart(CHIHUAHUA, "fine", "coarse", ancestors=True)) if row["same_concept"]]  # fmt: skip
    assert twins == [DOG]


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        ([CHIHUAHUA, SPANIEL], [DOG]),  # two below one
        ([CHIHUAHUA, SPANIEL], [TOY_DOG, DOG]),
        ([DOG], ["n01317541", CANINE]),  # two above one, equally near
        ([CHIHUAHUA, CANINE], [DOG]),  # one below and one above
        ([TOY_DOG], [CHIHUAHUA, DOG]),
    ],
)
def test_what_is_ambiguous_counts_as_nothing(by_ancestry, fine, coarse):
    _, catalog = by_ancestry([*PAIRS, *fine], [*PAIRS.values(), *coarse])
    assert n_of(catalog, "fine", "coarse", ancestors=True) == len(PAIRS)


def test_what_has_a_twin_is_nobodys_ancestor(by_ancestry):
    _, catalog = by_ancestry([*PAIRS, CHIHUAHUA, DOG], [*PAIRS.values(), DOG])
    rows = dicts(catalog.disagree("fine", "coarse", ancestors=True, permutations=0))
    assert {row["concept"] for row in rows} == {*PAIRS, DOG}


def test_concepts_outside_wordnet_have_no_ancestors(catalog):
    assert n_of(catalog, "english", "german", ancestors=True) == 5


# tags


def test_tags_are_set_changed_and_taken_back(catalog, path):
    assert catalog.tags().fetchall() == []
    catalog.tag("english", family="cnn", year="2020")
    catalog.tag("german", family="vit")
    assert catalog.tags().columns == ["model", "key", "value"]
    assert catalog.tags().fetchall() == [
        ("english", "family", "cnn"), ("english", "year", "2020"), ("german", "family", "vit"),
    ]  # fmt: skip
    catalog.tag("english", family="résnet, 50", year="")
    assert catalog.tags("english").fetchall() == [("english", "family", "résnet, 50")]
    catalog.tag("same", nothing="")
    assert catalog.tags(["german", "same"]).fetchall() == [("german", "family", "vit")]
    catalog.close()
    assert stored(path, "SELECT model, key, value FROM tagged_models ORDER BY ALL") == [
        ("english", "family", "résnet, 50"), ("german", "family", "vit"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["model", "self", "values", "key"])
def test_a_key_may_be_any_word(catalog, key):
    catalog.tag("english", **{key: "x"})
    assert catalog.tags().fetchall() == [("english", key, "x")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dim": "7"}, '"dim" is a column of models; a tag needs another key'),
        ({"source": "x"}, '"source" is a column of models'),
        ({"two words": "x"}, "can't be a tag: a key is a word of letters"),
        ({"": "x"}, "can't be a tag"),
        ({"1st": "x"}, "can't be a tag"),
        ({"good": "x", "bad-key": "y"}, '"bad-key=y" can\'t be a tag'),
        ({"family": "a\nb"}, "can't be a tag"),
        ({"family": "x" * 200}, "can't be a tag"),
        ({"family": 5}, "the value of a tag is text, not 5"),
        ({"family": None}, "the value of a tag is text, not None"),
    ],
)
def test_what_can_be_no_tag_is_refused_and_nothing_is_set(catalog, values, said):
    with pytest.raises(ArgumentError, match=said):
        catalog.tag("english", **values)
    assert catalog.tags().fetchall() == []


def test_a_tag_is_of_a_model(catalog):
    with pytest.raises(UnknownModelError, match='did you mean "german"'):
        catalog.tag("germann", family="x")
    with pytest.raises(UnknownModelError):
        catalog.tags("nosuch")


def test_what_two_models_are_compared_by_needs_no_pairs_in_the_database(catalog, tmp_path):
    bare = made("bare", C[:10], weight=np.asarray(SAME.weight))
    add(catalog, tmp_path, bare, pairs="none")
    given = {"permutations": 9, "resamples": 9}
    with_pairs = dicts(catalog.compare("english", "same", **given))
    without = dicts(catalog.compare("english", "bare", **given))
    for one, two in zip(with_pairs, without, strict=True):
        assert {**one, "model_b": "bare"} == two
