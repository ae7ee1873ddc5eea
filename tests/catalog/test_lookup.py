"""Which class a user means, and what is said when it can't be told."""

from __future__ import annotations

import numpy as np
import pytest

import classrel_db
from classrel_db.errors import (
    AmbiguousClassError,
    ArgumentError,
    UnknownClassError,
    UnknownModelError,
)

LITE0 = "efficientnet_lite0"


def asked(catalog, text, **options):
    """The class that an answer is about."""
    (label,) = {row[1] for row in catalog.similar(text, k=1, **options).fetchall()}
    return label


@pytest.mark.parametrize(
    "text", ["Dungeness crab", "dungeness CRAB", "Dungeness", "eness cr", "n01978287", 118, "118"]
)
def test_a_class_is_named_by_label_case_part_concept_or_index(catalog, text):
    assert asked(catalog, text) == "Dungeness crab"


def test_a_whole_label_goes_before_being_a_part_of_others(catalog):
    assert asked(catalog, "American lobster") == "American lobster"
    assert asked(catalog, "tub") == "tub"  # also a part of "bathtub"
    assert asked(catalog, "TUB") == "tub"


def test_an_ambiguous_part_lists_the_candidates(catalog):
    with pytest.raises(AmbiguousClassError) as caught:
        catalog.similar("crab")
    message = str(caught.value)
    for label in ("Dungeness crab", "rock crab", "fiddler crab", "king crab"):
        assert f'"{label}"' in message
    assert "n01978287, 118" in message


def test_labels_that_differ_only_in_case_are_told_apart_by_it(catalog):
    by_label = [catalog.similar(t, models=LITE0, k=1).fetchall() for t in ("Cardigan", "cardigan")]
    by_index = [catalog.similar(i, models=LITE0, k=1).fetchall() for i in (264, 474)]
    assert by_label == by_index
    with pytest.raises(AmbiguousClassError, match=r"n02113186, 264.*n02963159, 474"):
        catalog.similar("CARDIGAN")


def test_an_unknown_class_gets_the_nearest_spellings(catalog):
    with pytest.raises(UnknownClassError, match=r'"dungenes krab".*did you mean.*"Dungeness crab"'):
        catalog.similar("dungenes krab")


def test_an_unknown_model_gets_the_nearest_names(catalog):
    for ask in (
        lambda: catalog.similar("tench", models="eficientnet_lite0"),
        lambda: catalog.classes("eficientnet_lite0"),
        lambda: catalog.info("eficientnet_lite0"),
        lambda: catalog.remove("eficientnet_lite0"),
    ):
        with pytest.raises(UnknownModelError, match=r"did you mean.*efficientnet_lite0"):
            ask()


@pytest.mark.parametrize("text", ["", "   ", "1000", "-1", "999999999999999999999", "n00000000"])
def test_what_names_nothing_is_unknown(catalog, text):
    with pytest.raises(UnknownClassError):
        catalog.similar(text)


@pytest.mark.parametrize("text", ["%", "_", "' OR 1=1 --", "Dungeness%crab", "[bold]", "\x1b[31m"])
def test_patterns_and_sql_are_only_text(catalog, text):
    with pytest.raises((UnknownClassError, AmbiguousClassError)) as caught:
        catalog.similar(text)
    assert "\x1b" not in str(caught.value)


def test_the_pattern_of_classes_is_text_too(catalog):
    assert catalog.classes(LITE0, "%").fetchall() == []
    assert catalog.classes(LITE0, "' OR 1=1 --").fetchall() == []
    assert [row[2] for row in catalog.classes(LITE0, "DUNGENESS").fetchall()] == ["Dungeness crab"]
    assert [row[1] for row in catalog.classes(LITE0, "n01978287").fetchall()] == [118]
    assert len(catalog.classes(LITE0).fetchall()) == 1000


@pytest.mark.parametrize("text", ["tench +  + goldfish", " + tench", "tench - ", "+ +"])
def test_a_sign_without_a_class_beside_it_is_refused(catalog, text):
    with pytest.raises((ArgumentError, UnknownClassError)):
        catalog.similar(text)


def test_an_unknown_term_of_a_sum_is_named(catalog):
    with pytest.raises(UnknownClassError, match=r'"goldfishh".*did you mean.*"goldfish"'):
        catalog.similar("tench + goldfishh")


def test_a_sum_that_is_nothing_is_refused(catalog):
    with pytest.raises(ArgumentError, match="nothing is left"):
        catalog.similar("tench - tench")


LABELS = ["1", "0", "jack-o'-lantern", "Ünï", "a + b", "a", "b", "long-tailed tit"]


@pytest.fixture
def odd(stored):
    with classrel_db.open(stored(n_classes=len(LABELS), labels=LABELS)) as catalog:
        yield catalog


def test_a_label_that_is_a_number_goes_before_an_index(odd):
    assert asked(odd, "1") == "1"
    assert asked(odd, "0") == "0"
    assert asked(odd, "5") == "a"


def test_an_integer_is_an_index_though_a_label_reads_like_it(odd):
    assert asked(odd, 1) == "0"


@pytest.mark.parametrize("text", ["jack-o'-lantern", "long-tailed", "O'-LANTERN", "ünï", "ÜNÏ"])
def test_hyphens_quotes_and_accents_are_part_of_a_label(odd, text):
    assert asked(odd, text).casefold().count(text.casefold()) == 1


def test_a_label_with_a_sign_goes_before_a_sum(odd):
    assert asked(odd, "a + b") == "a + b"


def test_a_quoted_label_with_a_sign_can_be_a_term(odd):
    rows = odd.similar('"a + b" - 1', k=2).fetchall()
    assert len(rows) == 2
    assert not {"a + b", "1"} & {row[3] for row in rows}


def test_two_labels_that_differ_only_in_concept_are_kept_apart(stored):
    concepts = ["bird", "machine", "c", "d"]
    path = stored(n_classes=4, labels=["crane", "crane", "cat", "dog"], concepts=concepts)
    with classrel_db.open(path) as catalog:
        with pytest.raises(AmbiguousClassError, match=r"bird, 0.*machine, 1"):
            catalog.similar("crane")
        by_concept = [catalog.similar(c, k=3).fetchall() for c in ("bird", "machine")]
        assert [row[4] for row in by_concept[0]].count("machine") == 1
        assert [row[4] for row in by_concept[1]].count("bird") == 1
        rows = catalog.classes("small").fetchall()
        assert [row[3] for row in rows] == concepts


def test_a_class_that_only_one_model_knows_is_asked_there(stored, make_head):
    path = stored(labels=[f"bird {i}" for i in range(12)])
    other = make_head(name="other", seed=3, labels=[f"fish {i}" for i in range(12)])
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(other.path), labels=other.labels_path)
        assert {row[0] for row in catalog.similar("bird 3").fetchall()} == {"small"}
        # an index says something only where it is the same class everywhere
        with pytest.raises(AmbiguousClassError, match=r'"bird 3".*"fish 3"'):
            catalog.similar("3")
        with pytest.raises(UnknownClassError, match=r'"bird 3".*other'):
            catalog.similar("bird 3", models=["small", "other"])
        with pytest.raises(UnknownClassError, match="no model knows every class"):
            catalog.similar("bird 3 + fish 3")


def test_models_are_asked_once_though_named_twice(catalog):
    assert len(catalog.similar("tench", models=[LITE0, LITE0], k=4).fetchall()) == 4


def test_one_of_a_class_and_a_vector_must_be_given(catalog):
    for options in ({}, {"query": "tench", "vector": np.ones(1280)}):
        with pytest.raises(ArgumentError, match="either a class"):
            catalog.similar(**options)
