"""`classrel consensus`: what a user types, sees and is told."""

from __future__ import annotations

import csv
import math
import re

import pytest
from oracle import REAL, assert_refused, json_of, run_classrel

import classrel_db

LITE0, LITE1, LITE2 = REAL
SHADES = re.compile("[█▓░]+")


@pytest.fixture
def ask(classrel, database):
    def consensus(*arguments):
        return classrel("consensus", "Dungeness crab", *arguments, "--db", database)

    return consensus


def test_every_option_is_what_python_takes(ask, catalog):
    answer = ask(
        "-m", LITE0, "-m", LITE1, "--model", LITE2, "--exclude", LITE1, "--weight", f"{LITE2}=2.5",
        "-k", 4, "--least", 2, "--where", "class_idx > 120", "-f", "json",
    )  # fmt: skip
    rows = catalog.consensus(
        "Dungeness crab", models=[LITE0, LITE2], weights={LITE2: 2.5}, k=4, where="class_idx > 120"
    )
    got = [tuple(row.values()) for row in json_of(answer)]
    assert len(got) == 4
    for row, expected in zip(got, rows.fetchall(), strict=True):
        for value, wanted in zip(row, expected, strict=True):
            assert value == (
                pytest.approx(wanted, rel=1e-6) if isinstance(wanted, float) else wanted
            )


def test_csv_leaves_the_sd_of_one_model_empty(ask):
    (row,) = csv.DictReader(ask("-m", LITE0, "-k", 1, "-f", "csv").stdout.splitlines())
    assert (row["neighbor"], row["n"], row["sd"]) == ("king crab", "1", "")


def test_the_table_shows_the_numbers_and_a_bar_of_three_shades(ask):
    rows = json_of(ask("-k", 20, "-f", "json"))
    lines = ask("-k", 20).stdout.splitlines()
    assert lines[0] == "Nearest to Dungeness crab: Fisher mean of the cosine over n models"
    drawn = [line for line in lines if re.match(r"\s+\d+  ", line)]
    assert len(drawn) == 20
    longest = max(row["high"] for row in rows)
    for line, row in zip(drawn, rows, strict=True):
        for name in ("cosine", "sd", "low", "high"):
            assert f"{row[name]:.4f}" in line
        assert line.index(row["low_model"]) < line.rindex(row["high_model"])
        bar = SHADES.search(line)[0]
        ends = [round(20 * row[name] / longest) for name in ("low", "cosine", "high")]
        assert bar == "█" * ends[0] + "▓" * (ends[1] - ends[0]) + "░" * (ends[2] - ends[1])


def test_a_bar_where_nothing_is_drawn_and_a_table_without_rows(stored, classrel, ask):
    path = stored(n_classes=2, dim=4, normalize="center")  # two centred rows are opposite
    answer = classrel("consensus", "0", "--db", path)
    assert "-1.0000" in answer.stdout
    assert not SHADES.search(answer.stdout)
    empty = ask("--where", "norm < 0")
    assert (empty.returncode, empty.stderr) == (0, "")
    assert "neighbor_concept" in empty.stdout


def test_a_pipe_that_is_not_utf8_gets_bars_it_can_show(database):
    answer = run_classrel(
        "consensus", "118", "-k", 3, "--db", database, env={"PYTHONIOENCODING": "ascii:replace"}
    )
    assert re.search("#+=*-+", answer.stdout)
    assert not SHADES.search(answer.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--exclude", "efficientnet_lit0"],
            'no model "efficientnet_lit0" in the database; did you',
        ),
        ([word for name in REAL for word in ("--exclude", name)], "all models asked are excluded"),
        (["--weight", "resnet=2"], 'no model "resnet"'),
        (
            ["--weight", f"{LITE0}=-1"],
            f"the weight of {LITE0} is -1.0; a weight is a finite number",
        ),
        (["--weight", f"{LITE0}=nan"], "is nan; a weight is a finite number"),
        (["-m", LITE0, "--weight", f"{LITE1}=1"], f"a weight for {LITE1}, which is not among"),
        (["-m", LITE0, "--weight", f"{LITE0}=0"], "every weight is 0"),
        (["-k", "0"], "k is 0; it is a whole number from 1 on"),
        (["--least", "4"], 'least is 4; 3 of the models know "Dungeness crab"'),
        (["-m", "efficientnet"], 'no model "efficientnet"'),
    ],
    ids=str,
)
def test_what_has_no_consensus_is_refused_in_one_line(ask, arguments, said):
    assert_refused(ask(*arguments), said)


@pytest.mark.parametrize("given", [LITE0, f"{LITE0}=much", "=2", f"{LITE0}="])
def test_a_weight_that_is_no_number_is_wrong_usage(ask, given):
    answer = ask("--weight", given)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"--weight is MODEL=W with a number W, not '{given}'" in answer.stderr


def test_two_weights_of_one_model_are_wrong_usage(ask):
    answer = ask("--weight", f"{LITE0}=1", "--weight", f"{LITE0}=2")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"--weight of {LITE0} is given twice" in answer.stderr


def test_an_unknown_class_and_models_normalised_in_different_ways(stored, make_head, classrel):
    path = stored(n_classes=12)
    other = make_head(name="a=b", seed=1)
    with classrel_db.open(path) as catalog:
        catalog.ingest(str(other.path), labels=other.labels_path, normalize="center")
    assert_refused(classrel("consensus", "specis 03", "--db", path), 'did you mean "species 03"')
    assert_refused(
        classrel("consensus", "species 03", "--db", path),
        "normalised in different ways (center: a=b; standardize: small)",
        "choose models of one way with -m",
    )
    # a model's name may hold the sign between name and weight
    answer = classrel("consensus", "species 03", "--weight", "a=b=0", "-f", "json", "--db", path)
    assert {row["low_model"] for row in json_of(answer)} == {"small"}
    assert all(math.isclose(row["cosine"], row["high"]) for row in json_of(answer))
    # and so the macro, for whoever asks it in SQL
    raw = classrel("sql", "FROM consensus('species 03')", "--db", path)
    assert_refused(raw, "normalised in different ways (center, standardize)")
