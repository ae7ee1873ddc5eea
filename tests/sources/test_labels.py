from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from torchvision import models

from classrel_db.errors import LabelError
from classrel_db.sources.labels import imagenet1k, labels_of, require_count

from .conftest import single_line


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


Written = Callable[[str, "str | bytes"], Path]


def refused(path: Path, pattern: str) -> None:
    with pytest.raises(LabelError, match=pattern) as caught:
        labels_of(path)
    assert single_line(str(caught.value))
    assert path.name in str(caught.value)


def test_imagenet1k_is_torchvisions_list_with_wordnet_ids() -> None:
    space = labels_of("imagenet1k")
    assert list(space.labels) == models.ResNet50_Weights.DEFAULT.meta["categories"]
    assert space.concepts[118] == "n01978287"
    assert space.labels[118] == "Dungeness crab"
    assert len(set(space.concepts)) == 1000


def test_txt_is_one_label_per_line_with_casefolded_concepts(written: Written) -> None:
    space = labels_of(written("birds.txt", "Great tit\n  Straße \nEisvogel\n"))
    assert space.name == "birds"
    assert space.labels == ("Great tit", "Straße", "Eisvogel")
    assert space.concepts == ("great tit", "strasse", "eisvogel")


@pytest.mark.parametrize("content", ["a\nb", "a\nb\n", "\ufeffa\nb\n", "a\r\nb\r\n", "a \n\tb\n"])
def test_txt_tolerates_byte_order_marks_and_line_ends(written: Written, content: str) -> None:
    assert labels_of(written("x.txt", content)).labels == ("a", "b")


@pytest.mark.parametrize(
    "label",
    [
        "🦀 crab",
        "[bold]crab[/bold]",
        "סרטן",
        "سرطان",
        "👩‍🔬",
        "a\u200fb",
        "'; DROP TABLE models;--",
    ],
)
def test_emoji_markup_and_right_to_left_labels_are_kept(written: Written, label: str) -> None:
    assert labels_of(written("x.txt", f"{label}\nother\n")).labels == (label, "other")


def test_csv_takes_label_and_concept_and_ignores_the_rest(written: Written) -> None:
    space = labels_of(
        written("species.csv", 'Note,Label,CONCEPT\n1,"Crane, bird",Grus\n2,Crane,machine\n3,X,\n')
    )
    assert space.labels == ("Crane, bird", "Crane", "X")
    assert space.concepts == ("Grus", "machine", "x")
    assert space.name == "species"


def test_csv_rows_are_put_into_the_order_of_class_idx(written: Written) -> None:
    space = labels_of(written("x.csv", "class_idx,label\n2,c\n0,a\n1,b\n"))
    assert space.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rows", "bad"), [("0,a\n0,b", "0"), ("0,a\n2,b", "2"), ("0,a\n-1,b", "-1"), ("0,a\nx,b", "x")]
)
def test_class_idx_must_be_a_permutation(written: Written, rows: str, bad: str) -> None:
    refused(written("x.csv", f"class_idx,label\n{rows}\n"), f'row 3: class_idx is "{bad}"')


@pytest.mark.parametrize(
    "content",
    [
        ["a", "b"],
        {"0": "a", "1": "b"},
        {"1": "b", "0": "a"},
        {"model_type": "vit", "id2label": {"1": "b", "0": "a"}, "label2id": {"a": 0, "b": 1}},
    ],
)
def test_json_is_a_list_or_id2label(written: Written, content: object) -> None:
    assert labels_of(written("x.json", json.dumps(content))).labels == ("a", "b")


def test_the_space_is_imagenet1k_when_its_concepts_are(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "concept"])
        writer.writerows((f"my {wnid}", wnid) for wnid in imagenet1k().concepts)
    assert labels_of(path).name == "imagenet1k"


def test_a_thousand_other_labels_are_never_taken_for_imagenet(written: Written) -> None:
    path = written("thousand.txt", "".join(f"label {i}\n" for i in range(1000)))
    assert labels_of(path).name == "thousand"


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("a\n\nb\n", "row 2: the label is empty"),
        ("a\n   \nb\n", "row 2: the label is empty"),
        ("a\nb\n\n", "row 3: the label is empty"),
        ("", "no label in it"),
        ("a\nb\x07c\n", r'row 2: the label "b\\x07c" holds the control character U\+0007'),
        ("a\nb\x00\n", r"U\+0000"),
        ("a\nb\x85c\n", r"U\+0085"),
        ("a\nb\rc\n", r"U\+000D"),
        ("a\nb\u2028c\n", r"U\+2028"),
        ("a\nb\u202ec\n", r"U\+202E"),
        ("a\n\u2066c\n", r"U\+2066"),
        ("a\n\x1b[31mred\n", r"U\+001B"),
        ("a\n" + "x" * 10_000 + "\n", "row 2: the label has 10,000 characters, more than 1,000"),
        ("crane\nb\ncrane\n", r'rows 1 \("crane"\) and 3 \("crane"\).*column concept tells them'),
        ("Crane\nb\ncRANE\n", "rows 1 .* and 3"),
        (b"a\nb\ncaf\xe9\n", "row 3: the text is not UTF-8"),
        ("a\nb".encode("utf-16"), "not UTF-8"),
    ],
)
def test_bad_txt_names_the_row(written: Written, content: str | bytes, pattern: str) -> None:
    refused(written("x.txt", content), pattern)


def test_a_label_of_a_thousand_characters_is_the_longest(written: Written) -> None:
    assert len(labels_of(written("x.txt", "a\n" + "x" * 1000)).labels[1]) == 1000


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("", "must name the columns"),
        ("name,id\na,1\n", 'one of them label.*it reads "name", "id"'),
        ("label,label\na,b\n", "one of them label"),
        ("label\n", "no label in it"),
        ("label,concept\na\n", "row 2: 1 fields under 2 columns"),
        ("label\na, b\n", "double quotes"),
        ('label\n"a\n', "no valid csv"),
        ('label\n"a"x\n', "no valid csv"),
        ('label\na\n"b\nc"\n', r"row 4: .* U\+000A"),
        ('label\na\n""\n', "row 3: the label is empty"),
        ("label,concept\na,x\nb,x\n", 'rows 2 .* and 3 .*concept "x"'),
        ("label,concept\na,x\nb,y\x07\n", r"row 3: the concept .*U\+0007"),
    ],
)
def test_bad_csv_names_the_row(written: Written, content: str, pattern: str) -> None:
    refused(written("x.csv", content), pattern)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("", "no valid JSON"),
        ("[1", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[1, 2]", "list of strings"),
        ('"a"', "list of strings"),
        ('{"0": "a", "1": ["b"]}', "list of strings"),
        ('{"id2label": {"0": "a", "2": "b"}}', '2 keys, but none of them is "1"'),
        ('{"0": "a", "0": "b"}', 'none of them is "1"'),
        ('{"00": "a"}', 'none of them is "0"'),
        ("[]", "no label in it"),
        ("{}", "no label in it"),
        ('["a", "b\\n"]', r"row 1: .*U\+000A"),
        ('["a", "b\\nc"]', r"row 1: .*U\+000A"),
        ('["a", "\\ud800"]', r"U\+D800"),
        ('["a", ""]', "row 1: the label is empty"),
        ('["a", "A"]', "rows 0 .* and 1"),
    ],
)
def test_bad_json_names_the_index(written: Written, content: str, pattern: str) -> None:
    refused(written("x.json", content), pattern)


def test_a_missing_labels_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "no.txt", "no labels file")


def test_a_folder_of_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    refused(tmp_path / "folder.txt", "can't read.*directory")


def test_an_unknown_ending_lists_what_is_accepted(written: Written) -> None:
    refused(written("x.tsv", "a\n"), r"\.txt, \.csv, \.json files or are imagenet1k")


def test_a_count_that_differs_from_the_rows_gives_both_numbers() -> None:
    with pytest.raises(LabelError, match=r'1,000 labels .*for the 999 rows of "fc.weight"'):
        require_count(imagenet1k(), 999, "fc.weight")


def test_a_file_named_imagenet1k_with_other_classes_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "imagenet1k.txt"
    path.write_text("finch\nwren\n")
    assert labels_of(path).name == "imagenet1k (file)"
