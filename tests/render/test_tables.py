"""Tables for people: whole when piped, within the window on a terminal, and harmless."""

from __future__ import annotations

import io
import json
import re
import unicodedata

import duckdb
import pytest
from commands import on_a_terminal
from oracle import run_classrel

import classrel_db
from classrel_db.render import tables
from classrel_db.text import printable

LABELS = ["[bold]x[/bold]", "🦀 crab", "سرطان", "x" * 1000, ":smile: plain", "螃" * 60, "ok", "é"]
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def width(text):
    """Columns on a terminal: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@pytest.fixture
def path(stored):
    return stored(n_classes=len(LABELS), labels=LABELS)


COMMANDS = [
    ["models"], ["classes", "small"], ["info", "small"], ["similar", "ok"],
    ["similar", "ok", "--self"], ["similar", "ok", "--self", "--support"],
    ["check"], ["consensus", "ok"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_piped_tables_are_whole_and_uncoloured(path, classrel, command):
    answer = classrel(*command, "--db", path)
    assert answer.returncode == 0, answer.stderr
    assert "…" not in answer.stdout
    assert "\x1b" not in answer.stdout
    if command[0] in {"classes", "consensus", "similar"}:
        for label in LABELS:
            # one line each, and right-to-left text in its own order
            assert sum(label in line for line in answer.stdout.splitlines()) >= 1, label


SEVERAL = [["similar", "species 01"], ["similar", "species 01", "--support"]]


@pytest.mark.parametrize("command", [*COMMANDS, *SEVERAL], ids=" ".join)
@pytest.mark.parametrize("columns", [80, 60])
def test_a_terminal_is_never_written_beyond_its_edge(path, make_head, command, columns):
    if command in SEVERAL:
        with classrel_db.open(path) as catalog:
            for seed in range(2):
                head = make_head(name=f"a-model-with-a-long-name-{seed}", seed=seed)
                catalog.ingest(str(head.path), labels=head.labels_path)
    text, code = on_a_terminal(*command, "--db", path, columns=columns)
    assert code == 0, text
    lines = ANSI.sub("", text).splitlines()
    assert len(lines) > 2
    told = ("support: ", "normalizations: ")  # running text, on standard error, may wrap
    beyond = [line for line in lines if width(line) > columns and not line.startswith(told)]
    assert beyond == []


def test_a_terminal_is_coloured_unless_no_color_is_set(path):
    coloured, _ = on_a_terminal("similar", "ok", "--db", path)
    plain, _ = on_a_terminal("similar", "ok", "--db", path, env={"NO_COLOR": "1"})
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
    assert colours.search(coloured)
    assert not colours.search(plain)


def test_markup_in_a_label_is_text(path):
    text, _ = on_a_terminal("classes", "small", "--db", path, columns=200)
    assert "[bold]x[/bold]" in text
    assert ":smile: plain" in text


def test_output_to_a_file_has_no_colour_and_no_edge(path, tmp_path, classrel):
    file = tmp_path / "out.txt"
    assert classrel("classes", "small", "--db", path, "-o", file).returncode == 0
    text = file.read_text("utf-8")
    assert "\x1b" not in text
    assert "x" * 1000 in text


def test_a_pipe_that_is_not_utf8_gets_bars_it_can_show(path):
    plain = run_classrel("similar", "ok", "--db", path, env={"PYTHONIOENCODING": "ascii:replace"})
    assert plain.returncode == 0, plain.stderr
    assert "#" in plain.stdout
    assert "█" not in plain.stdout


def test_an_ascii_pipe_ends_in_no_traceback(path):
    answer = run_classrel("similar", "ok", "--db", path, env={"PYTHONIOENCODING": "ascii"})
    assert "Traceback" not in answer.stderr


def drawn(draw, sql):
    file = io.StringIO()
    draw(duckdb.sql(sql), file)
    return file.getvalue()


STEERING = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202eabc\u2066\r\n\tend"


@pytest.mark.parametrize("draw", [tables.plain_table, tables.model_table])
def test_what_could_steer_a_terminal_is_written_out(draw):
    text = drawn(draw, f"SELECT 'm' AS model, '{STEERING}' AS class")
    assert not {c for c in text if unicodedata.category(c) in {"Cc", "Zl", "Zp"}} - {"\n"}
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "\\x1b" in text


def test_printable_shows_every_control_and_keeps_all_other_text():
    for code in range(0x3000):
        character = chr(code)
        is_control = unicodedata.category(character) in {"Cc", "Zl", "Zp"}
        is_turning = unicodedata.bidirectional(character) in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        }  # fmt: skip
        if is_control or is_turning:
            assert printable(character).startswith("\\"), hex(code)
        else:
            assert printable(character) == character


def test_numbers_of_a_table_are_those_of_json_rounded(path, classrel):
    rows = json.loads(classrel("similar", "ok", "--db", path, "-f", "json").stdout)
    table = classrel("similar", "ok", "--db", path).stdout
    for row in rows:
        assert f"{row['cosine']:.4f}" in table
        assert f"{row['euclidean']:.2f}" in table


def test_several_models_stand_side_by_side_with_their_ranks(database, classrel):
    text = classrel("similar", "Dungeness crab", "-k", 5, "--db", database).stdout
    (king,) = [line.split() for line in text.splitlines() if line.startswith(" king crab")]
    assert king[2] == "3/3"
    assert king[3::2] == ["1", "1", "1"]
    for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"):
        assert name in text


def test_a_bar_is_as_long_as_its_cosine_says(database, classrel):
    text = classrel(
        "similar", "Dungeness crab", "-m", "efficientnet_lite0", "-k", 20, "--db", database
    ).stdout
    bars = [line.count("█") for line in text.splitlines() if re.match(r"\s+\d+  ", line)]
    assert len(bars) == 20
    assert bars == sorted(bars, reverse=True)
    assert bars[0] == 20


def test_bars_stay_beside_support_as_long_as_there_is_room(path):
    asked = ["similar", "ok", "--support", "--db", path]
    longest = []
    for columns in (120, 80, 60):
        text, _ = on_a_terminal(*asked, columns=columns)
        longest.append(max(line.count("█") for line in text.splitlines()))
        assert "normalizations" in text
    assert longest == [20, 10, 0]


def test_the_class_itself_is_shown_at_rank_zero(database, classrel):
    text = classrel(
        "similar", "Dungeness crab", "-m", "efficientnet_lite0", "--self", "--db", database
    ).stdout
    (own,) = [line.split() for line in text.splitlines() if re.match(r"\s+0  ", line)]
    assert own[1:4] == ["Dungeness", "crab", "1.0000"]


def test_a_head_whose_every_cosine_is_negative_can_be_drawn(stored, classrel):
    path = stored(n_classes=2, dim=4)
    with classrel_db.open(path) as catalog:
        catalog.ingest(
            str(path.with_name("small.npz")), labels=path.with_name("small.csv"),
            normalize="center", replace=True,
        )  # fmt: skip
    answer = classrel("similar", "0", "--db", path)
    assert answer.returncode == 0
    assert "-1.0000" in answer.stdout
