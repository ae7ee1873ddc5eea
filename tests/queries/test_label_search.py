"""``label_search`` against Jaro-Winkler as its authors define it, written out."""

from __future__ import annotations

from collections import Counter

import pytest
from oracle import REAL

from .naive import assert_rows, call


def jaro(a, b):
    reach = max(0, max(len(a), len(b)) // 2 - 1)
    taken = [False] * len(b)
    of_a = []
    for i, letter in enumerate(a):
        for j in range(max(0, i - reach), min(len(b), i + reach + 1)):
            if not taken[j] and b[j] == letter:
                taken[j] = True
                of_a.append(letter)
                break
    of_b = [letter for letter, used in zip(b, taken, strict=True) if used]
    m = len(of_a)
    if m == 0:
        return 0.0
    swapped = sum(x != y for x, y in zip(of_a, of_b, strict=True)) // 2
    return (m / len(a) + m / len(b) + (m - swapped) / m) / 3


def jaro_winkler(a, b):
    similarity = jaro(a, b)
    prefix = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    return similarity + 0.1 * min(prefix, 4) * (1 - similarity) * (similarity > 0.7)


def score(label, text):
    label, text = label.lower(), text.lower()
    if label == text:
        return 1.0
    if label.startswith(text):
        return 0.9 + 0.1 * len(text) / len(label)
    if text in label:
        return 0.8 + 0.1 * len(text) / len(label)
    return 0.8 * jaro_winkler(label, text)


def naive_search(library, text, k, names):
    models = library.chosen(names)
    times = Counter(pair for m in models for pair in zip(m.labels, m.concepts, strict=True))
    found = [
        {"class": label, "concept": concept, "score": score(label, text), "n": n}
        for (label, concept), n in times.items()
    ]
    return sorted(found, key=lambda r: (-round(r["score"], 12), r["class"], r["concept"]))[:k]


def test_the_similarity_is_that_of_the_published_examples():
    # Winkler 1990
    assert jaro_winkler("MARTHA", "MARHTA") == pytest.approx(0.9611, abs=5e-5)
    assert jaro_winkler("DIXON", "DICKSONX") == pytest.approx(0.8133, abs=5e-5)
    assert jaro("DWAYNE", "DUANE") == pytest.approx(0.8222, abs=5e-5)


TEXTS = [
    "crab",
    "CRAB",
    "Dungeness crab",
    "dungness crab",
    "king",
    "kign crab",
    "potter's wheel",
    "s",
    "terrier",
    "wolf spyder",
    "golden retreiver",
    "%",
    "_",
    "xyzzy",
    "a text that is longer than any label of ImageNet by a good deal",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_labels_of_real_heads_in_order_of_their_spelling(real, text):
    for models in (None, [REAL[1]], ["nobody"]):
        found = real.ask(call("label_search", text, k=40, models=models))
        assert_rows(found, naive_search(real, text, 40, models))
    assert_rows(real.ask(call("label_search", text)), naive_search(real, text, 25, None))


@pytest.mark.parametrize("models", [None, ["alpha", "gamma", "eta"], ["beta"], []], ids=str)
@pytest.mark.parametrize("text", ["species 1", "SPECIES 07", "art 3", "z10", "spices 12"])
@pytest.mark.parametrize("k", [1, 8, 1000])
def test_the_labels_of_several_label_spaces_are_counted_each(mixed, text, models, k):
    found = mixed.ask(call("label_search", text, k=k, models=models))
    assert_rows(found, naive_search(mixed, text, k, models))


def test_all_labels_are_found_when_as_many_are_asked_for(real):
    found = real.ask("label_search('crab', k := 5000)")
    assert len(found) == len({row["concept"] for row in found}) == 1000
    assert {row["n"] for row in found} == {3}


def test_the_scores_keep_to_their_ranges(real):
    for text in TEXTS:
        for row in real.ask(call("label_search", text, k=1000)):
            label, asked = row["class"].lower(), text.lower()
            low, high = (
                (1, 1)
                if label == asked
                else (0.9, 1)
                if label.startswith(asked)
                else (0.8, 0.9)
                if asked in label
                else (0, 0.8)
            )
            assert low <= row["score"] <= high
