"""Tables of clusters, of trees that agree, of models in a taxonomy: whole, within the window, harmless."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from agreeing import add, dicts, made
from commands import on_a_terminal

import classrel_db
from classrel_db.render import tree_tables

from .test_tables import ANSI, width

C = [f"c{i:02d}" for i in range(20)]
LABELS = [
    "[bold]x[/bold]",
    "🦀 crab",
    "سرطان",
    "y" * 120,
    ":smile: plain",
    "螃" * 40,
    *[f"class {i}" for i in range(14)],
]
NAME = "a-model-with-a-rather-long-name"
FAMILIES = ["[red]first[/red]", "a family with quite a long name " * 3, "螃" * 30, "plain"]
LINEAGE = "kingdom,family,concept\n" + "".join(
    f"life,{FAMILIES[i // 5]},c{i:02d}\n" for i in range(20)
)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree-tables")
    group = np.repeat(np.arange(4), 5)
    with classrel_db.open(folder / "x.duckdb") as catalog:
        for seed in range(2):
            random = np.random.default_rng(seed)
            weight = 2 * random.normal(size=(4, 8))[group] + random.normal(size=(20, 8))
            weight[3] = weight[18] + 0.1  # one that is not with its family
            add(catalog, folder, made(f"{NAME}-{seed}", C, weight=weight, labels=LABELS))
        (folder / "life.csv").write_text(LINEAGE)
        catalog.add_taxonomy(folder / "life.csv", "[b]life[/b]")
        for seed in range(2):
            catalog.tree(f"{NAME}-{seed}")
    return folder / "x.duckdb"


@pytest.fixture
def catalog(made_once):
    with classrel_db.open(made_once) as opened:
        yield opened


LIFE = ["--taxonomy", "[b]life[/b]"]
COMMANDS = {
    "cluster": ["cluster", f"{NAME}-0", "-k", "4", *LIFE],
    "many": ["cluster", f"{NAME}-0", "-k", "20", *LIFE],
    "compare": ["tree", "compare", f"{NAME}-0", f"{NAME}-1", "--permutations", "9"],
    "taxonomy": ["taxonomy", "compare", f"{NAME}-0", f"{NAME}-1", "[b]life[/b]", "--permutations", "9",
                 "--resamples", "9"],
    "clades": ["taxonomy", "compare", f"{NAME}-0", "[b]life[/b]", "--clades"],
    "purity": ["taxonomy", "compare", f"{NAME}-0", "[b]life[/b]", "--purity", "--permutations", "9"],
    "surprises": ["taxonomy", "surprises", f"{NAME}-0", "[b]life[/b]"],
    "match": ["taxonomy", "match", f"{NAME}-0", "[b]life[/b]"],
    "list": ["taxonomy", "list"],
    "tree": ["tree", f"{NAME}-0", *LIFE],
}  # fmt: skip
TOLD = (
    "ward linkage",
    "2 of 4 taxa",
    "seed ",
    "majority",
    "note:",
    "20 of 20",
)  # beside the data, on standard error


@pytest.mark.parametrize("command", COMMANDS)
def test_piped_tables_are_whole_and_uncoloured(made_once, classrel, command):
    answer = classrel(*COMMANDS[command], "--db", made_once)
    assert answer.returncode == 0, answer.stderr
    assert "\x1b" not in answer.stdout
    assert "…" not in answer.stdout or command == "clades"
    if command in {"cluster", "many", "match", "tree"}:
        for label in LABELS:
            assert label in answer.stdout, label
    if command in {"clades", "match"}:
        assert "[red]first[/red]" in answer.stdout
    if command in {"clades", "purity", "taxonomy", "list"}:
        assert "[b]life[/b]" in answer.stdout


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_is_never_written_beyond_its_edge(made_once, command, columns):
    text, code = on_a_terminal(*COMMANDS[command], "--db", made_once, columns=columns)
    assert code == 0, text
    lines = ANSI.sub("", text.rpartition("\x1b[2K")[2]).splitlines()
    assert len(lines) > 2
    beyond = [line for line in lines if width(line) > columns and not line.startswith(TOLD)]
    assert beyond == []
    if command in {"cluster", "clades"}:  # what there is no room for
        word = {"cluster": "nearest", "clades": "best clade lacks"}[command]
        assert any(word in line for line in lines) == (columns >= 100)


def drawn(draw, rows):
    file = io.StringIO()
    draw(rows, file)
    return file.getvalue()


def test_a_line_a_cluster_with_its_misfits_marked(catalog):
    rows = catalog.cluster(f"{NAME}-0", 4, taxonomy="[b]life[/b]")
    listed = dicts(rows)
    text = drawn(tree_tables.clusters, rows)
    misfits = [row["class"] for row in listed if not row["fits"] and row["size"] > 1]
    assert misfits
    for row in listed:
        assert (f"×{row['class']}" in text) == (row["class"] in misfits)
    mean = np.mean([row["silhouette"] for row in listed])
    assert text.lstrip().startswith(f"{NAME}-0: 4 clusters, mean silhouette {mean:.3f}")
    for number in range(1, 5):
        some = [row for row in listed if row["cluster"] == number]
        first = some[0]
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [str(number)]]
        assert f"{first['name']} ({len(some)})" in line
        cells = [
            f"{first['similarity']:.4f}",
            f"{first['cluster_silhouette']:.4f}",
            f"{first['purity']:.0%}",
        ]
        assert " ".join(cells) in " ".join(line.split())
        # the medoid is named first, or is marked
        members = line.split(", ")
        assert first["medoid"] in members[0] or first["medoid"] in misfits
        at = [line.index(row["class"]) for row in some if row["fits"]]
        assert max(at) < min(
            [line.index(f"×{m}") for m in misfits if f"×{m}" in line], default=10_000
        )


def test_of_a_large_cluster_twelve_are_named(catalog):
    rows = catalog.cluster(f"{NAME}-0", 1, taxonomy="[b]life[/b]")
    text = drawn(tree_tables.clusters, rows)
    assert "and 8 more" in text
    assert "mean silhouette" not in text
    assert ": 1 clusters" in text or ": 1 cluster" in text
    # fourteen are named, as two more would take as much room
    sizes = [row["size"] for row in dicts(catalog.cluster(f"{NAME}-0", 2))]
    assert ("more" in drawn(tree_tables.clusters, catalog.cluster(f"{NAME}-0", 2))) == (
        max(sizes) > 14
    )


def test_numbers_are_rounded_and_measures_explained(catalog):
    given = {"permutations": 9}
    rows = catalog.compare_trees(f"{NAME}-0", f"{NAME}-1", **given)
    text = drawn(tree_tables.comparisons, rows)
    assert f"{NAME}-0 and {NAME}-1: trees of 20 shared classes" in text
    for row in dicts(rows):
        name = row["measure"] + (f" (k={row['k']})" if row["k"] else "")
        (line,) = [
            x
            for x in text.splitlines()
            if x.strip().startswith(f"{name} ") and f"{row['estimate']:.4f}" in x
        ]
        assert line.split()[-6 + 1 :][0] == f"{row['null_value']:.4f}"
        assert f"{row['null_low']:.4f} to {row['null_high']:.4f} " in line
        assert line.split()[-1] == f"{row['p_value']:.3f}"
    assert text.count("1: the same classes are joined at the same heights") == 1
    rows = catalog.compare_taxonomy(
        [f"{NAME}-0", f"{NAME}-1"], "[b]life[/b]", permutations=9, resamples=9
    )
    text = drawn(tree_tables.taxonomy, rows)
    for row in dicts(rows):
        assert f"{row['estimate']:.4f}" in text
        if row["low"] is not None:
            assert f"{row['low']:.4f} to {row['high']:.4f}" in text
    assert text.count("[b]life[/b]: 20 classes") == 2
    assert text.count("Hennig") == 0
    assert text.count("a clade of the head's tree") == 1


def test_what_was_not_asked_for_is_empty(catalog):
    text = drawn(
        tree_tables.comparisons, catalog.compare_trees(f"{NAME}-0", f"{NAME}-1", permutations=0)
    )
    assert "None" not in text
    assert " to " not in text.split("1: ")[0]
    text = drawn(
        tree_tables.taxonomy,
        catalog.compare_taxonomy(f"{NAME}-0", "[b]life[/b]", permutations=0, resamples=0),
    )
    assert "None" not in text


def test_each_taxon_is_a_line(catalog):
    rows = dicts(catalog.taxonomy_clades(f"{NAME}-0", "[b]life[/b]"))
    text = drawn(tree_tables.clades, catalog.taxonomy_clades(f"{NAME}-0", "[b]life[/b]"))
    assert len(rows) == 4
    for row in rows:
        (line,) = [
            line for line in text.splitlines() if line.strip().startswith(row["label"].strip())
        ]
        rest = line[line.index(row["label"].strip()) + len(row["label"].strip()) :].split()
        numbers = [str(row["classes"]), *(["yes"] if row["monophyletic"] else []), f"{row['f1']:.2f}",
                   str(row["clade"]), str(row["smallest"])]  # fmt: skip
        assert rest[: len(numbers)] == numbers
        assert ("− " in line) == bool(row["missing"])
        assert ("+ " in line) == bool(row["intruding"])
    assert any(row["missing"] for row in rows)


def test_both_kinds_of_surprises_have_their_title(catalog):
    rows = catalog.taxonomy_surprises(f"{NAME}-0", "[b]life[/b]", k=3)
    text = drawn(tree_tables.surprises, rows)
    assert f"far apart in [b]life[/b], alike in {NAME}-0" in text
    assert f"near in [b]life[/b], unlike in {NAME}-0" in text
    for row in dicts(rows):
        assert f"{row['cosine']:.4f}" in text
    assert (
        drawn(tree_tables.surprises, rows.filter("surprise = 'closer'")).count(" in [b]life[/b]")
        == 1
    )


@pytest.mark.parametrize(
    "draw", ["clusters", "comparisons", "taxonomy", "clades", "purity", "surprises"]
)
def test_no_rows_are_no_table(catalog, draw):
    name = f"{NAME}-0"
    rows = {
        "clusters": lambda: catalog.cluster(name, 2),
        "comparisons": lambda: catalog.compare_trees(name, f"{NAME}-1", permutations=0),
        "taxonomy": lambda: catalog.compare_taxonomy(
            name, "[b]life[/b]", permutations=0, resamples=0
        ),
        "clades": lambda: catalog.taxonomy_clades(name, "[b]life[/b]"),
        "purity": lambda: catalog.taxonomy_purity(name, "[b]life[/b]", permutations=0),
        "surprises": lambda: catalog.taxonomy_surprises(name, "[b]life[/b]"),
    }[draw]()
    assert drawn(getattr(tree_tables, draw), rows.limit(0)).strip() == ""


def test_escape_sequences_are_never_sent(made_once, tmp_path, classrel):
    """Labels are checked when they are read; what has come into a file in another way is shown escaped."""
    import duckdb

    path = shutil.copy(made_once, tmp_path / "x.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE classes SET label = label || chr(27) || '[31m' || chr(7)")
        connection.execute("UPDATE taxa SET label = label || chr(27) || ']0;title' || chr(7)")
        connection.execute("UPDATE taxa SET rank = rank || chr(27) || '[2J'")
    for command in COMMANDS.values():
        answer = classrel(*command, "--db", path)
        assert answer.returncode == 0, answer.stderr
        assert not {"\x1b", "\x07"} & set(answer.stdout + answer.stderr), command
