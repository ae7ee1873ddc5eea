"""``classrel report``: the file it writes, and what it refuses."""

from __future__ import annotations

import os
from threading import Thread
from typing import TYPE_CHECKING

import pytest

import classrel_db
from classrel_db import report
from classrel_db.errors import ArgumentError
from tests.report.conftest import Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import CompletedProcess

    Run = Callable[..., CompletedProcess[str]]


def test_the_command_writes_what_it_is_asked_for(
    classrel: Run, stored: Callable[..., Path], tmp_path: Path
) -> None:
    database = stored(n_classes=12)
    file = tmp_path / "r.html"
    ran = classrel(
        "report",
        file,
        "-m",
        "small",
        "-k",
        3,
        "--resamples",
        7,
        "--seed",
        5,
        "--title",
        "A & B",
        "--db",
        database,
    )
    assert ran.returncode == 0
    assert ran.stdout == ""
    assert str(file) in ran.stderr
    manifest = Stored(file.read_text("utf-8")).manifest
    assert (manifest["k"], manifest["resamples"], manifest["seed"]) == (3, 7, 5)
    assert manifest["models"][0]["supported"] == 3
    assert "<title>A &amp; B</title>" in file.read_text("utf-8")


def test_support_can_be_left_out(stored: Callable[..., Path], tmp_path: Path) -> None:
    with classrel_db.open(stored(n_classes=12)) as catalog:
        assert report.write(catalog, tmp_path / "r.html", resamples=0) == tmp_path / "r.html"
    (model,) = Stored((tmp_path / "r.html").read_text("utf-8")).manifest["models"]
    assert model["support"] is None
    assert model["leftOut"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("{folder}/none/r.html",), "No such file or directory"),
        (("{folder}",), "does not end in .html"),
        (("{folder}/r.pdf",), "name it r.html"),
        (("{folder}/r",), "name it r.html"),
        (("{folder}",), "name a file that ends in .html"),
        (("",), "name a file that ends in .html"),
        ((".",), "name a file that ends in .html"),
        (("..",), "name a file that ends in .html"),
        (("/",), "name a file that ends in .html"),
        (("-",), "name a file that ends in .html"),
        (("{folder}/.html",), "name a file that ends in .html"),
        (("{folder}/r.html", "-m", "nothing"), 'no model "nothing"'),
        (("{folder}/r.html", "-k", "0"), "k is 0"),
        (("{folder}/r.html", "-k", "101"), "from 1 to 100"),
        (("{folder}/r.html", "--resamples", "-1"), "resamples is -1"),
        (("{folder}/r.html", "--seed", "-1"), "seed is -1"),
        (("{folder}/r.html", "--taxonomy", "wordnut"), "no taxonomy"),
    ],
)
def test_bad_input_is_told_and_nothing_is_left(
    classrel: Run, stored: Callable[..., Path], tmp_path: Path, given: tuple[str, ...], message: str
) -> None:
    database = stored(n_classes=12)
    folder = tmp_path / "out"
    folder.mkdir()
    ran = classrel("report", *(each.format(folder=folder) for each in given), "--db", database)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ")
    assert message in ran.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Krebse für alle".encode().decode("ascii", "surrogateescape"), "Krebse für alle"),
        ("a \udcff", "a \\xff"),
        ("a \ud83d", "a \\ud83d"),
    ],
)
def test_a_title_that_the_locale_could_not_read(
    stored: Callable[..., Path], tmp_path: Path, given: str, shown: str
) -> None:
    with classrel_db.open(stored(n_classes=12)) as catalog:
        report.write(catalog, tmp_path / "r.html", resamples=0, title=given)
    text = (tmp_path / "r.html").read_text("utf-8")
    assert f"<title>{shown}</title>" in text
    assert Stored(text).manifest["title"] == shown


def test_a_pipe_has_no_size(classrel: Run, stored: Callable[..., Path], tmp_path: Path) -> None:
    pipe = tmp_path / "r.html"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = Thread(target=lambda: received.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    ran = classrel("report", pipe, "--resamples", 0, "--db", stored(n_classes=12))
    reader.join(60)
    assert ran.returncode == 0
    assert "kB" not in ran.stderr
    assert f"wrote {pipe}; open it" in ran.stderr
    assert received[0].rstrip().endswith("</html>")


def test_the_database_is_not_written_over(stored: Callable[..., Path], tmp_path: Path) -> None:
    database = stored(n_classes=12)
    link = tmp_path / "r.html"
    link.symlink_to(database)
    with (
        classrel_db.open(database) as catalog,
        pytest.raises(ArgumentError, match="the database itself"),
    ):
        report.write(catalog, link)


def test_an_older_report_stays_where_a_new_one_fails(
    stored: Callable[..., Path], tmp_path: Path
) -> None:
    file = tmp_path / "r.html"
    file.write_text("older")
    with classrel_db.open(stored(n_classes=12)) as catalog, pytest.raises(ArgumentError):
        report.write(catalog, file, taxonomy="none")
    assert file.read_text() == "older"
    assert [each.name for each in tmp_path.glob(".r.html*")] == []
