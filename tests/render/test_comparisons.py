"""Tables of agreement: whole when piped, within the window on a terminal, bright where models agree."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
from agreeing import add, made
from commands import on_a_terminal

import classrel_db
from classrel_db.render import comparisons

from .test_tables import ANSI, width

LABELS = [
    "[bold]x[/bold]",
    "🦀 crab",
    "سرطان",
    "y" * 300,
    ":smile: plain",
    "螃" * 40,
    "ok",
    "a\nb",
    "é",
    "z",
]
C = [f"c{i}" for i in range(len(LABELS))]
MANY = [f"a-model-with-a-long-name-{i:02d}" for i in range(14)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture(scope="module")
def made_once(folder):
    """Fourteen heads with nothing in common, with labels that need care."""
    labels = [label.replace("\n", " ") for label in LABELS]
    with classrel_db.open(folder / "many.duckdb") as catalog:
        for seed, name in enumerate(MANY):
            weight = np.random.default_rng(seed).normal(size=(len(C), 5))
            add(catalog, folder, made(name, C, weight=weight, labels=labels))
        catalog.compare_all(measures=["rsa-spearman", "procrustes"])
    return folder / "many.duckdb"


@pytest.fixture
def path(made_once, tmp_path):
    return shutil.copy(made_once, tmp_path / "many.duckdb")


COMMANDS = {
    "compare": ["compare", *MANY[:3], "--permutations", "9", "--resamples", "9"],
    "spearman": ["compare", "--all", "--measure", "rsa-spearman"],
    "procrustes": ["compare", "--all", "--measure", "procrustes"],
    "disagree": ["disagree", *MANY[:2], "--permutations", "9"],
    "counterpart": ["counterpart", "ok", "--from", MANY[0], "--to", MANY[1]],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_piped_tables_are_whole_and_uncoloured(made_once, classrel, command):
    answer = classrel(*COMMANDS[command], "--db", made_once)
    assert answer.returncode == 0, answer.stderr
    assert "…" not in answer.stdout
    assert "\x1b" not in answer.stdout
    if command in {"disagree", "counterpart"}:
        for label in (label.replace("\n", " ") for label in LABELS):
            assert label in answer.stdout
    elif command != "compare":
        assert answer.stdout.count("·") == len(MANY)  # one table, however wide


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", [80, 60])
def test_a_terminal_is_never_written_beyond_its_edge(made_once, command, columns):
    text, code = on_a_terminal(*COMMANDS[command], "--db", made_once, columns=columns)
    assert code == 0, text
    lines = ANSI.sub("", text.rpartition("\x1b[2K")[2]).splitlines()  # what stays, without the bars
    told = ("seed ", "mean cosine", "8 anchors", "9 anchors", "a-model", "ok of a-model")
    beyond = [line for line in lines if width(line) > columns and not line.startswith(told)]
    assert beyond == []
    assert not any("…" in line for line in lines if not line.startswith(told))  # no number is cut
    if command == "compare":
        (header, *_) = [line.split() for line in lines if "estimate" in line]
        assert ("q" in header) == (columns == 80)
        assert {"p", "estimate", "interval"} <= set(header)
    if command in {"spearman", "procrustes"}:
        assert sum(line.count("·") for line in lines) == len(MANY)
        numbers = re.findall(r"(?<!\S)-?\d?\.\d{3}(?!\S)", "\n".join(lines))
        assert len(numbers) == len(MANY) * (len(MANY) - 1)


@pytest.mark.parametrize(("measure", "alike"), [("rsa-spearman", max), ("procrustes", min)])
def test_models_that_agree_are_green(made_once, measure, alike):
    """Of a distance these are the small numbers."""
    text, _ = on_a_terminal(
        "compare", "--all", "--measure", measure, "--db", made_once, columns=200
    )
    with classrel_db.open(made_once) as catalog:
        values = [
            v for (v,) in catalog.compare_all(measures=measure).project("estimate").fetchall()
        ]
    other = {max: min, min: max}[alike]
    green, plain = (f"{pick(values):.3f}".replace("0.", ".", 1) for pick in (alike, other))
    assert re.search(rf"\x1b\[32m *{re.escape(green)}", text)
    assert not re.search(rf"\x1b\[32m *{re.escape(plain)}", text)
    assert plain in text


def drawn(draw, rows):
    file = io.StringIO()
    draw(rows, file)
    return file.getvalue()


def test_what_is_missing_is_a_dash(made_once):
    with classrel_db.open(made_once) as catalog:
        rows = catalog.compare_all(MANY[:4])
        some = rows.filter(f"NOT (model_a = '{MANY[0]}' OR model_b = '{MANY[0]}') OR n < 0 OR "
                           f"'{MANY[1]}' IN (model_a, model_b)")  # fmt: skip
        assert some.shape[0] == 4
        text = drawn(comparisons.matrices, some)
    assert text.count("–") == 4  # two pairs, both ways
    assert text.count("·") == 4


def test_nothing_to_compare_is_said(made_once):
    with classrel_db.open(made_once) as catalog:
        assert drawn(comparisons.matrices, catalog.compare_all(MANY[0])) == (
            "no two models can be compared\n"
        )


def test_each_measure_has_its_matrix(made_once, classrel):
    command = ["compare", "--all", "--measure", "rsa-spearman", "--measure", "procrustes"]
    text = classrel(*command, "--db", made_once).stdout
    for measure in ("rsa-spearman", "procrustes"):
        assert f"{measure} of 14 models, 10 shared classes\n" in text


def test_q_is_shown_where_there_are_several_pairs(made_once, classrel):
    draws = ["--permutations", "9", "--resamples", "0", "--measure", "cka", "--db", made_once]
    two = classrel("compare", *MANY[:2], *draws).stdout
    three = classrel("compare", *MANY[:3], *draws).stdout
    headers = [
        next(line for line in text.splitlines() if "estimate" in line).split()
        for text in (two, three)
    ]
    plain = ["measure", "estimate", "95", "%", "interval", "null", "p"]
    assert headers == [plain, [*plain, "q"]]
    assert three.count("10 shared classes, standardize") == 3


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (None, ""),
        (1.0, "1.000"),
        (0.05, "0.050"),
        (0.01, "0.010"),
        (0.0012, "0.0012"),
        (0.0001, "1.0e-04"),
    ],
)
def test_a_probability_has_two_digits_and_is_never_zero(p, shown):
    assert comparisons.probability(p) == shown


def test_what_looks_like_markup_is_shown_as_it_is(tmp_path, classrel):
    with classrel_db.open(tmp_path / "odd.duckdb") as catalog:
        labels = ["[red]x[/red]", "b", "d", "e", "f"]
        for seed in range(2):
            add(catalog, tmp_path, made(f"[b]m{seed}", C[:5], seed=seed, labels=labels))
    for command in (
        ["compare", "[b]m0", "[b]m1", "--permutations", "0", "--resamples", "0"],
        ["disagree", "[b]m0", "[b]m1", "--permutations", "0"],
        ["counterpart", "d", "--from", "[b]m0", "--to", "[b]m1"],
        ["compare", "--all"],
    ):
        text = classrel(*command, "--db", tmp_path / "odd.duckdb").stdout
        assert "[b]m0" in text
        assert ("[red]x[/red]" in text) == (command[0] != "compare")
