"""Where a model came from, for people; and how to cite it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from classrel_db.render.tables import dicts
from classrel_db.render.tables import record as drawn
from classrel_db.text import megabytes, printable_lines, rounded_to, searched

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

_OF_BEFORE = "not recorded by an earlier classrel; `classrel ingest --replace` puts it right"
# for the formats; `dtype` and `bytes_read` say in words what they mean
_UNSAID = {
    "weight_error",
    "cosine_error",
    "bytes_total",
    "recall",
    "recall_low",
    "recall_all",
    "recall_sample",
}


def record(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``info``: a line for each column, without those that say nothing."""
    (row,) = dicts(rows)
    kept_since = row["dtype"] is not None  # a model of before has none of the newer columns
    shown = {
        **row,
        "dtype": rounded_to(row["dtype"], row["cosine_error"]) if kept_since else _OF_BEFORE,
        "license": row["license"] or ("not stated by the source" if kept_since else "not recorded"),
        "search": _searched(row),
        "bytes_read": f"{megabytes(row['bytes_read'])} of {megabytes(row['bytes_total'])}",
    }
    said = {
        name: value for name, value in shown.items() if value is not None and name not in _UNSAID
    }
    drawn(said, file)


def _searched(row: dict[str, Any]) -> str:
    if row["search"] == "exact":
        return "exact"
    said = searched(row["recall"], row["recall_low"], row["recall_all"])
    return f"{row['search']}; {said}, measured on {row['recall_sample']:,} classes"


def citation(rows: DuckDBPyRelation, file: TextIO) -> None:
    """The answer of ``info --cite``: a paragraph, then the BibTeX entries."""
    (row,) = dicts(rows)
    file.write(printable_lines(f"{row['text']}\n\n{row['bibtex']}\n"))
