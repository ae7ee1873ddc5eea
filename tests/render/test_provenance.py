"""What `info` shows of a model: for people, and never less certain than it is."""

from __future__ import annotations

import io
import re

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import classrel_db
from classrel_db.render import provenance
from classrel_db.text import rounded_to

ROW = (
    "SELECT 'm' AS model, NULL AS etag, 'BF16' AS dtype, 0.0029 AS weight_error, 0.00421 AS cosine_error,"
    " NULL AS license, 'exact' AS search, 8700000 AS bytes_read, 102500000 AS bytes_total"
)


def shown(sql):
    file = io.StringIO()
    provenance.record(duckdb.sql(sql), file)
    return {line.split()[0]: " ".join(line.split()[1:]) for line in file.getvalue().splitlines()}


def test_units_are_for_people_and_what_is_not_there_takes_no_line():
    assert shown(ROW) == {
        "model": "m",
        "dtype": "BF16: cosines are known to within 0.0043",
        "license": "not stated by the source",
        "search": "exact",
        "bytes_read": "8.7 MB of 102.5 MB",
    }


def test_what_could_steer_a_terminal_is_written_out():
    steering = r"\x1b]52;c;aGk=\x07\u202eabc"
    told = shown(ROW.replace("NULL AS license", f"e'{steering}' AS license"))["license"]
    assert told.isprintable()
    assert "\\x1b" in told


def test_every_column_of_a_stored_head_is_shown_or_said(stored):
    with classrel_db.open(stored()) as catalog:
        rows = catalog.info("small")
        file = io.StringIO()
        provenance.record(rows, file)
        values = dict(zip(rows.columns, rows.fetchall()[0], strict=True))
    for name, value in values.items():
        known = value is not None and name not in {
            "weight_error", "cosine_error", "bytes_total", "recall", "recall_low", "recall_all",
        }  # fmt: skip
        assert bool(re.search(rf"^{name} ", file.getvalue(), re.MULTILINE)) == (
            known or name == "license"
        )


@given(st.floats(1e-6, 2))
def test_a_bound_is_never_rounded_down(bound):
    told = float(rounded_to("I8", bound).rpartition(" ")[2])
    assert bound <= told <= 1.1 * bound


@pytest.mark.parametrize("bound", [0.0, 1.2e-7])
def test_what_single_precision_leaves_open_anyway_is_not_told(bound):
    assert rounded_to("F64", bound) == "F64"
