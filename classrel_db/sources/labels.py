"""Label spaces: ImageNet-1k's own, and those that users bring as txt, csv or json.

A label space is never guessed from the number of classes: it is named, given, or inside the file.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classrel_db.errors import LabelError
from classrel_db.records import LabelSpace
from classrel_db.spelling import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from classrel_db.records import LoadOptions

IMAGENET1K = "imagenet1k"
_BACKGROUND = "background"

_LONGEST_LABEL = 1_000
_LONGEST_NAME = 300
_BLANKS = " \t\u00a0\u3000"

# Unicode categories that no label holds: control characters, line and paragraph separators,
# halves of surrogate pairs (which no UTF-8 text can hold)
_REFUSED_CATEGORIES = frozenset({"Cc", "Zl", "Zp", "Cs"})
# these turn the text after them around, beyond the label itself
_BIDI_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def given_labels(options: LoadOptions) -> LabelSpace | None:
    """The label space that the user gives with a file; None where none is."""
    return None if options.labels is None else labels_of(options.labels)


def labels_of(given: str | Path) -> LabelSpace:
    """The label space that ``--labels`` names: ``imagenet1k``, or a .txt, .csv or .json file.

    txt is one label per line; csv has a header with ``label`` and optionally ``concept`` and
    ``class_idx``; json is a list of strings or an object ``id2label``. All are UTF-8.

    Raises
    ------
    LabelError
        The file can't be read, or a label can't stand; the message names the row.
    """
    if str(given) == IMAGENET1K:
        return imagenet1k()
    path = Path(given)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise LabelError(
            f"labels come from {', '.join(_READERS)} files or are {IMAGENET1K}, "
            f"not {quoted(str(given), _LONGEST_NAME)}"
        )
    return reader(_text(path), path)


@cache
def imagenet1k() -> LabelSpace:
    """ImageNet-1k in the order of every head trained on it; concepts are WordNet ids."""
    rows = _imagenet1k_rows()
    return LabelSpace(
        IMAGENET1K, tuple(row["label"] for row in rows), tuple(row["wnid"] for row in rows)
    )


def imagenet1k_by_lemmas(labels: Sequence[str]) -> LabelSpace | None:
    """ImageNet-1k, where ``labels`` are its classes in their order; else None.

    They are if each names its class: by one of the class's lemmas in WordNet among its own, which stand
    between commas, by the label here, or by the WordNet id. A class "background" before them all, as
    TensorFlow's models have it, is a class of its own.
    """
    rows, known = _imagenet1k_rows(), imagenet1k()
    behind = labels[1:] if len(labels) == len(rows) + 1 else labels
    if len(behind) != len(rows):
        return None
    for label, row in zip(behind, rows, strict=True):
        names = {row["wnid"], row["label"], *row["lemmas"].split("; ")}
        if set(map(_spelled, label.split(","))).isdisjoint(map(_spelled, names)):
            return None
    if len(labels) == len(rows):
        return known
    if _spelled(labels[0]) != _BACKGROUND:
        return None
    return LabelSpace(
        f"{IMAGENET1K}-{_BACKGROUND}",
        (_BACKGROUND, *known.labels),
        (_BACKGROUND, *known.concepts),
    )


@cache
def _imagenet1k_rows() -> list[dict[str, str]]:
    table = resources.files("classrel_db") / "data" / "imagenet1k_classes.csv"
    return list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"), newline="")))


def _spelled(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def label_space(
    name: str,
    labels: Sequence[str],
    concepts: Sequence[str] | None,
    where: str,
    first_row: int,
) -> LabelSpace:
    """Check ``labels`` and ``concepts`` and make a label space of them.

    A concept that is not given is the case-folded label. ``where`` and ``first_row`` name the
    place in messages. The space is ``imagenet1k`` when its concepts are, whatever its ``name``.
    """
    if not labels:
        raise LabelError(f"{where}: there is no label in it")
    if concepts is not None and len(concepts) != len(labels):
        raise LabelError(f"{where}: {len(labels):,} labels but {len(concepts):,} concepts")
    rows = range(first_row, first_row + len(labels))
    return _space(name, labels, concepts or [""] * len(labels), where, rows)


def require_count(space: LabelSpace, n_classes: int, head_key: str) -> None:
    """Refuse a label space that has not one label for each of the head's rows."""
    if len(space.labels) != n_classes:
        raise LabelError(
            f"{len(space.labels):,} labels ({quoted(space.name)}) for the {n_classes:,} rows of "
            f"{quoted(head_key)}; give one label for each row, in their order"
        )


def _space(
    name: str, labels: Sequence[str], concepts: Sequence[str], where: str, rows: Sequence[int]
) -> LabelSpace:
    """``concepts`` has an empty string where none is given; ``rows`` is where each label stands."""
    labels = [_checked(label, "label", where, row) for label, row in zip(labels, rows, strict=True)]
    concepts = [
        _checked(concept, "concept", where, row, may_be_empty=True) or label.casefold()
        for concept, label, row in zip(concepts, labels, rows, strict=True)
    ]
    _refuse_duplicates(concepts, labels, where, rows)
    known = tuple(concepts) == imagenet1k().concepts
    if not known and name == IMAGENET1K:
        name = f"{IMAGENET1K} (file)"  # the name alone is kept for the real one
    return LabelSpace(IMAGENET1K if known else name, tuple(labels), tuple(concepts))


def _checked(text: str, what: str, where: str, row: int, *, may_be_empty: bool = False) -> str:
    text = text.strip(_BLANKS)
    if not text and not may_be_empty:
        raise LabelError(f"{where}, row {row}: the {what} is empty; every class needs one")
    if len(text) > _LONGEST_LABEL:
        raise LabelError(
            f"{where}, row {row}: the {what} has {len(text):,} characters, "
            f"more than {_LONGEST_LABEL:,}: {quoted(text, 40)}"
        )
    for character in text:
        if character in _BIDI_OVERRIDES or unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise LabelError(
                f"{where}, row {row}: the {what} {quoted(text)} holds the control character "
                f"U+{ord(character):04X}; take it out"
            )
    return text


def _refuse_duplicates(
    concepts: Sequence[str], labels: Sequence[str], where: str, rows: Sequence[int]
) -> None:
    first: dict[str, int] = {}
    for index, concept in enumerate(concepts):
        if concept in first:
            before = first[concept]
            raise LabelError(
                f"{where}: rows {rows[before]} ({quoted(labels[before])}) and {rows[index]} "
                f"({quoted(labels[index])}) have the same concept {quoted(concept)}; a csv file "
                f"with a column concept tells them apart"
            )
        first[concept] = index


def _text(path: Path) -> str:
    where = _place(path)
    try:
        # the mark that some editors put before the text is no part of the first label
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise LabelError(f"there is no labels file {quoted(str(path), _LONGEST_NAME)}") from error
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise LabelError(f"{where}, row {row}: the text is not UTF-8; save it as UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise LabelError(f"can't read {where}: {str(reason).lower()}") from error


def _from_txt(text: str, path: Path) -> LabelSpace:
    # not splitlines: it also breaks at characters that would shift every label after them
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
    return label_space(path.stem, lines, None, _place(path), first_row=1)


def _from_csv(text: str, path: Path) -> LabelSpace:
    where = _place(path)
    rows, lines = _csv_rows(text, where)
    if not rows:
        raise LabelError(f"{where}: there is no label in it")
    if "class_idx" in rows[0]:
        order = _class_order([row["class_idx"] for row in rows], where, lines)
        rows, lines = [rows[i] for i in order], [lines[i] for i in order]
    labels = [row["label"] for row in rows]
    concepts = [row.get("concept", "") for row in rows]
    return _space(path.stem, labels, concepts, where, lines)


def _csv_rows(text: str, where: str) -> tuple[list[dict[str, str]], list[int]]:
    """The rows by column, and the line on which each ends."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    try:
        columns = [column.strip().casefold() for column in next(reader, [])]
        if columns.count("label") != 1:
            raise LabelError(
                f"{where}: its first row must name the columns, one of them label "
                f"(and if need be concept, class_idx); it reads "
                f"{', '.join(map(quoted, columns[:8])) or 'nothing'}"
            )
        for row in filter(None, reader):
            if len(row) != len(columns):
                raise LabelError(
                    f"{where}, row {reader.line_num}: {len(row)} fields under {len(columns)} "
                    f"columns; put labels with a comma in double quotes"
                )
            rows.append(dict(zip(columns, row, strict=True)))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise LabelError(f"{where}, row {reader.line_num}: no valid csv: {error}") from error
    return rows, lines


def _class_order(class_indices: Sequence[str], where: str, lines: Sequence[int]) -> list[int]:
    """For each class, the position of its row: the inverse of the column class_idx."""
    order: dict[int, int] = {}
    for position, (text, line) in enumerate(zip(class_indices, lines, strict=True)):
        text = text.strip()
        index = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if not 0 <= index < len(lines) or index in order:
            raise LabelError(
                f"{where}, row {line}: class_idx is {quoted(text)}; it must be each number from "
                f"0 to {len(lines) - 1} exactly once"
            )
        order[index] = position
    return [order[index] for index in range(len(lines))]


def _from_json(text: str, path: Path) -> LabelSpace:
    where = _place(path)
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{where}: no valid JSON: {error}") from error
    if isinstance(content, _Pairs):
        content = _in_key_order(content.value("id2label") or content, where)
    if not isinstance(content, list) or not all(isinstance(label, str) for label in content):
        raise LabelError(f"{where}: {_JSON_FORMS}")
    return label_space(path.stem, content, None, where, first_row=0)


_JSON_FORMS = (
    'labels in JSON are a list of strings, or an object {"0": "first label", "1": …} '
    'that may stand under the key "id2label"'
)


class _Pairs:
    """A JSON object as it stands, so that a key that is there twice is seen."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def value(self, key: str) -> _Pairs | None:
        found = dict(self.pairs).get(key)
        return found if isinstance(found, _Pairs) else None


def _in_key_order(labels: _Pairs, where: str) -> list[Any]:
    by_key = dict(labels.pairs)
    expected = [str(index) for index in range(len(labels.pairs))]
    missing = next((key for key in expected if key not in by_key), None)
    if missing is not None:
        raise LabelError(
            f"{where}: {len(labels.pairs):,} keys, but none of them is {quoted(missing)}; the keys "
            f"must be the numbers from 0, each exactly once. {_JSON_FORMS}"
        )
    return [by_key[key] for key in expected]


_READERS: dict[str, Callable[[str, Path], LabelSpace]] = {
    ".txt": _from_txt,
    ".csv": _from_csv,
    ".json": _from_json,
}


def _place(path: Path) -> str:
    return quoted(str(path), _LONGEST_NAME)
