from __future__ import annotations

import csv
import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classrel_db.errors import TaxonomyError
from classrel_db.records import Taxonomy, TaxonomyKind, taxon_name
from classrel_db.sources.taxonomy import read_taxonomy

from .conftest import single_line

Read = Callable[..., Taxonomy]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def write_and_read(
        content: str | bytes, name: str = "x.csv", kind: TaxonomyKind | None = None
    ) -> Taxonomy:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return read_taxonomy(path, kind)

    return write_and_read


def refused(
    read: Read, content: str | bytes, pattern: str, name: str = "x.csv", **given: str
) -> None:
    with pytest.raises(TaxonomyError, match=pattern) as caught:
        read(content, name, **given)
    message = str(caught.value)
    assert single_line(message)
    assert name in message


def edges(taxonomy: Taxonomy) -> set[tuple[str, str]]:
    pairs = list(zip(taxonomy.children, taxonomy.parents, strict=True))
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def in_order(taxonomy: Taxonomy) -> None:
    """What every taxonomy promises."""
    graph = nx.DiGraph((parent, child) for child, parent in edges(taxonomy))
    assert nx.is_directed_acyclic_graph(graph)
    assert sum(not graph.pred[taxon] for taxon in graph) == 1
    assert set(graph) == set(taxonomy.taxa)
    assert len(set(taxonomy.taxa)) == len(taxonomy.taxa)
    assert len(taxonomy.labels) == len(taxonomy.ranks) == len(taxonomy.taxa)
    assert len(taxonomy.lengths) == len(taxonomy.children)
    names = dict(taxonomy.names)
    assert len(names) == len(taxonomy.names)
    assert set(names.values()) <= set(taxonomy.taxa)
    assert all(name and taxon_name(name) == name for name in names)


def ancestors(taxonomy: Taxonomy) -> dict[str, set[str]]:
    graph = nx.DiGraph((parent, child) for child, parent in edges(taxonomy))
    return {taxon: nx.ancestors(graph, taxon) for taxon in graph}


def rank_of(taxonomy: Taxonomy, taxon: str) -> str | None:
    return dict(zip(taxonomy.taxa, taxonomy.ranks, strict=True))[taxon]


def label_of(taxonomy: Taxonomy, taxon: str) -> str:
    return dict(zip(taxonomy.taxa, taxonomy.labels, strict=True))[taxon]


def noted(taxonomy: Taxonomy, *words: str) -> bool:
    return any(all(word in note for word in words) for note in taxonomy.notes)


TITS = """Family,Genus,Species
Paridae,Parus,Parus major
Paridae,Parus,Parus minor
Turdidae,Turdus,Turdus merula
"""


# any file


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("x.nwk", "(a,b)c;", "newick"),
        ("x.NEWICK", "(a,b)c;", "newick"),
        ("x.tre", "(a,b)c;", "newick"),
        ("x.tree", "[&R] (a,b)c;", "newick"),
        ("x.txt", "\n (a,b)c;", "newick"),
        ("x.csv", "child,parent\na,c\nb,c\n", "edges"),
        ("x.csv", "Parent ;rank; CHILD\nc;;a\nc;;b\n", "edges"),
        ("x.csv", "parent\tchild\nc\ta\nc\tb\n", "edges"),
        ("x.tsv", "parent,\tchild\n", "lineage"),
        ("x.tab", "up\tspecies\nc\ta\nc\tb\n", "lineage"),
        ("x.csv", '"(up), or","species"\nc,a\nc,b\n', "lineage"),
        ("x.txt", "up;species\nc;a\n  \nc;b\n", "lineage"),
        ("x.csv", "(up),species\nc,a\nc,b\n", "lineage"),
    ],
)
def test_the_kind_is_guessed(read: Read, name: str, content: str, kind: str) -> None:
    if content.endswith("\tchild\n"):
        refused(read, content, "no taxon stands under another", name)
        return
    taxonomy = read(content, name)
    assert taxonomy.kind == kind
    assert edges(taxonomy) == {("a", "c"), ("b", "c")}
    assert taxonomy.source.endswith(name)
    assert dict(taxonomy.names) == {"a": "a", "b": "b", "c": "c"}
    in_order(taxonomy)


def test_the_kind_may_be_given(read: Read) -> None:
    content = "child,parent\na,b\n"
    assert edges(read(content, kind="edges")) == {("a", "b")}
    assert edges(read(content, kind="lineage")) == {("b", "a")}
    assert edges(read("(a,b)c;", "x.csv", kind="newick")) == {("a", "c"), ("b", "c")}
    assert edges(read(content, "x.nwk", kind="edges")) == {("a", "b")}
    refused(read, content, 'one of lineage, edges, newick, not "tree"', kind="tree")
    refused(read, content, "no valid Newick", kind="newick")
    refused(read, TITS, 'has the columns child and parent; it has "Family", "Gen', kind="edges")


@pytest.mark.parametrize("content", ["\ufeff" + TITS, TITS.replace("\n", "\r\n"), "\n\n" + TITS])
def test_marks_line_ends_and_blank_lines_before_the_header_are_no_matter(
    read: Read, content: str
) -> None:
    assert edges(read(content)) == edges(read(TITS))


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b",,\n,,\n", "the file is empty"),
        (b"a,b\nc,d\x00\n", "row 2: there is a NUL byte"),
        ("a,b\nc,d\n".encode("utf-16"), "row 1: the text is not UTF-8"),
        ("a,b\nc,d\n".encode("utf-16-le"), "row 1: there is a NUL byte"),
        (b"a,b\nc,caf\xe9\n", "row 2: the text is not UTF-8; save it as UTF-8"),
        (b"species\na\n", 'only one column, "species"'),
        (b"family,\na,b\n", "column 2 of 2 has no name"),
        (b"family,Genus,genus,GENUS\n", r'several columns are named "genus" \(case'),
        (b"a,a\n", 'several columns are named "a"'),
        (b"a,b\nc,d,e\n", 'row 2: 3 cells under 2 columns.*hold a "," in double'),
        (b"a,b\nc,d\n\ne\n", "row 4: 1 cells under 2 columns"),
        (b'a,b\nc,"d\n', "row 2: no valid table"),
        (b'a,b\nc,"d"x\n', "row 2: no valid table"),
        (b"a,b\nc," + b"x" * 200_000 + b"\n", "row 2: no valid table: field larger"),
        (b"a,b\nc,d\x07\n", r'row 2: .*"d\\x07" holds the control character U\+0007'),
        ("a,b\nc,d\n\u202ee,f\n".encode(), r"row 3: .*U\+202E"),
        (b'a,b\nc,"d\ne"\n', r"row 3: .*U\+000A"),
        (b"a,b\nc," + b"x" * 1001 + b"\n", "row 2: .* 1,001 characters, more than 1,000"),
        (b"a,b\n", "no taxon stands under another; .* at least two taxa"),
        (b"a,b\nc,\nd,\n", "no taxon stands under another"),
        (b"family,concept\na,b\n", "two ranks at least.*it has .family., .concept."),
    ],
)
def test_what_is_no_table_is_refused(read: Read, content: bytes, pattern: str) -> None:
    refused(read, content, pattern)


def test_the_cell_that_is_too_many_may_hold_a_tab(read: Read) -> None:
    refused(read, "a\tb\nc\td\te\n", "hold a tab in double quotes", "x.tsv")


def test_names_of_a_thousand_characters_are_the_longest(read: Read) -> None:
    assert ("x" * 1000, "y") in edges(read(f"child,parent\n{'x' * 1000},y\n"))


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match=r"there is no taxonomy file .*none\.csv"):
        read_taxonomy(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TaxonomyError, match=r"can't read .*folder\.csv.*directory"):
        read_taxonomy(tmp_path / "folder.csv")
    with pytest.raises(TaxonomyError, match="can't read"):
        read_taxonomy(tmp_path / "a\0b.csv")


# lineage tables


def test_a_lineage_table_is_a_tree_of_its_ranks(read: Read) -> None:
    taxonomy = read(TITS)
    assert edges(taxonomy) == {
        ("Paridae", "root"), ("Turdidae", "root"), ("Parus", "Paridae"), ("Turdus", "Turdidae"),
        ("Parus major", "Parus"), ("Parus minor", "Parus"), ("Turdus merula", "Turdus"),
    }  # fmt: skip
    assert rank_of(taxonomy, "Parus") == "Genus"
    assert rank_of(taxonomy, "root") is None
    assert label_of(taxonomy, "root") == "root"
    assert set(taxonomy.lengths) == {None}
    assert dict(taxonomy.names)["parus major"] == "Parus major"
    assert "root" not in dict(taxonomy.names)
    assert taxonomy.notes == (
        '2 taxa stand under no other ("Paridae", "Turdidae"): one taxon "root" was added above them',
    )
    in_order(taxonomy)


def test_the_added_root_takes_a_free_name(read: Read) -> None:
    taxonomy = read("child,parent\nroot,a\nb,c\n")
    assert {("a", "(root)"), ("c", "(root)")} < edges(taxonomy)
    taxonomy = read("child,parent\nroot,a\n(root),c\n")
    assert {("a", "(root) (2)"), ("c", "(root) (2)")} < edges(taxonomy)
    assert taxonomy.lengths == [None] * 4
    assert not read("child,parent\na,b\n").notes


@pytest.mark.parametrize("hole", ["", "NA", "N/A", "-", " - ", "_"])
def test_a_taxon_stands_under_the_nearest_given_higher_one(read: Read, hole: str) -> None:
    taxonomy = read(f"order,family,genus,species\no,{hole},g,s\no,{hole},{hole},t\n\n{hole},,,\n")
    assert edges(taxonomy) == {("g", "o"), ("s", "g"), ("t", "o")}
    assert noted(taxonomy, "3 cells", "first in row 2")
    assert len(taxonomy.notes) == 1


def test_a_row_without_the_lowest_rank_adds_its_lowest_taxon(read: Read) -> None:
    taxonomy = read("family,genus,species,concept\nf,g,s,\nf,h,,n01\nf,NA,,\n")
    assert edges(taxonomy) == {("g", "f"), ("s", "g"), ("h", "f")}
    assert dict(taxonomy.names)["n01"] == "h"
    assert taxonomy.notes == (
        "2 rows without species, first row 3: the lowest given taxon was added",
    )


def test_rows_of_one_species_are_merged(read: Read) -> None:
    table = "family,species,concept\nf,s,n1\nf,t,\nf,s,n2\nf,s,n1\n"
    taxonomy = read(table)
    assert edges(taxonomy) == {("s", "f"), ("t", "f")}
    assert dict(taxonomy.names) == {"f": "f", "s": "s", "t": "t", "n1": "s", "n2": "s"}
    assert taxonomy.notes == ('2 rows with species of an earlier row, first row 4 ("s"): merged',)


def test_a_gap_in_one_row_is_filled_by_another(read: Read) -> None:
    taxonomy = read("order,family,genus,species\n,,g,s\no,,g,t\n,f,g,u\no,f,g,v\no,,g,s\n")
    assert edges(taxonomy) == {("f", "o"), ("g", "f")} | {(each, "g") for each in "stuv"}


def test_homonyms_of_a_higher_rank_are_kept_apart(read: Read) -> None:
    taxonomy = read(
        "kingdom,family,genus,species\n"
        "Animalia,Turdidae,Prunella,P. modularis\n"
        "Animalia,,Prunella,P. collaris\n"
        "Plantae,Lamiaceae,Prunella,P. vulgaris\n"
    )
    assert {
        ("Prunella (Turdidae)", "Turdidae"), ("Prunella (Lamiaceae)", "Lamiaceae"),
        ("P. modularis", "Prunella (Turdidae)"), ("P. collaris", "Prunella (Turdidae)"),
        ("P. vulgaris", "Prunella (Lamiaceae)"),
    } < edges(taxonomy)  # fmt: skip
    assert label_of(taxonomy, "Prunella (Turdidae)") == "Prunella"
    assert "prunella" not in dict(taxonomy.names)
    assert noted(taxonomy, "1 name", '"Prunella (Turdidae)"', "matches none")
    in_order(taxonomy)


def test_homonyms_under_homonyms_have_keys_of_their_own(read: Read) -> None:
    taxonomy = read("a,b,c,d\nA,x,y,1\nB,x,y,2\nB,y (x (A)),z,3\n")
    assert {("y (x (A)) (2)", "x (A)"), ("y (x (B))", "x (B)"), ("y (x (A))", "B")} < edges(
        taxonomy
    )
    in_order(taxonomy)


def test_a_gap_that_several_homonyms_fit_is_refused(read: Read) -> None:
    refused(
        read,
        "kingdom,family,genus,species\nA,f,g,s\nP,h,g,t\n,,g,u\n",
        'row 4: genus "g" under no higher taxon may be that under any of "f", "h"; fill in',
    )
    refused(
        read,
        "kingdom,family,genus,species\nA,f,g,s\nA,h,g,t\nA,,g,u\n",
        'row 4: genus "g" under "A" may be that under any of "f", "h"',
    )


def test_the_lowest_of_taxa_with_one_name_has_the_plain_key(read: Read) -> None:
    taxonomy = read("family,genus,species\nBovidae,Bison,bison\nBison,Bos,Bos taurus\n")
    assert {("bison", "Bison (genus)"), ("Bos", "Bison (family)")} < edges(taxonomy)
    assert dict(taxonomy.names)["bison"] == "bison"
    assert label_of(taxonomy, "Bison (genus)") == "Bison"
    assert noted(taxonomy, "1 name at several ranks", '"Bison (family)"')
    in_order(taxonomy)
    taxonomy = read("f,g,s\na,x,x\nb,x,y\n")
    assert {("x", "x (a)"), ("y", "x (b)")} < edges(taxonomy)
    assert dict(taxonomy.names)["x"] == "x"
    taxonomy = read("o,f,g,s\nx,a,x,1\nx,b,x,2\n")
    assert {("x (a)", "a"), ("x (b)", "b"), ("a", "x (o)")} < edges(taxonomy)
    assert "x" not in dict(taxonomy.names)


@pytest.mark.parametrize(
    ("table", "pattern"),
    [
        ("g,s\na,x\nc,d\nb,x\na,x\n", 'rows 2 and 4: s "x" stands under "a" and under "b"'),
        ("f,g,s\n,,x\nf,a,x\nf,b,x\n", 'rows 3 and 4: s "x" stands under "a" and under "b"'),
        ("g,s\na,x y\nb,X_y\n", 'rows 2 and 3: s "x y" stands under "a" and under "b"'),
        ("f,g,s\nf,,x\n,g,x\n", 'rows 2 and 3: s "x" stands under "f" and under "g"'),
        ("g,s,concept\na,x,n1\na,y,n1\n", 'row 3: "n1" is .* of "y" and, in row 2, of "x"'),
        ("g,s,synonyms\na,x,n1|N1\na,y,n2; n1\n", 'row 3: "n1" is .* of "y" and, in row 2, of "x"'),
        ("g,s,synonyms,concept\na,x,n1,\na,y,,N1\n", 'row 3: "N1" is .* and, in row 2, of "x"'),
        ("g,s,synonyms\na,x,\na,y,X\n", 'row 3: "X" is .* of "y", but another taxon has that name'),
        ("g,s,concept\na,x,y\na,y,\n", 'row 2: "y" is .* of "x", but another taxon'),
        ("g,s,concept\na,x,\n,,n1\n", "row 3: there is a concept but no taxon"),
        ("g,s,concept\na,x,n\x1b\n", r"row 2: .*U\+001B"),
        ("g,s,synonyms\na,x,m|n\x1b\n", r"row 2: .*U\+001B"),
        ("g,s,label\na,x,n\x1b\n", r"row 2: .*U\+001B"),
    ],
)
def test_contradictions_name_their_rows(read: Read, table: str, pattern: str) -> None:
    refused(read, table, pattern)


def test_special_columns_give_names_and_labels(read: Read) -> None:
    taxonomy = read(
        'genus,Label,species,CONCEPT,Synonyms\nParus,"Great tit, the",Parus_major,N01530575,'
        '"kohlmeise | Kohl-Meise;;parus"\nParus,,Parus minor,NA,-\nParus,Other,Parus_major,,\n'
    )
    assert edges(taxonomy) == {("Parus_major", "Parus"), ("Parus minor", "Parus")}
    assert taxonomy.labels == ["Parus", "Great tit, the", "Parus minor"]
    assert dict(taxonomy.names) == {
        # the synonym is meant, the genus only happens to have the name
        "parus": "Parus_major", "parus major": "Parus_major", "parus minor": "Parus minor",
        "n01530575": "Parus_major", "kohlmeise": "Parus_major", "kohl-meise": "Parus_major",
    }  # fmt: skip
    assert noted(taxonomy, "1 row with another label", "row 4")


def test_spellings_that_match_alike_are_one_taxon(read: Read) -> None:
    taxonomy = read("genus,species\nParus,Parus major\nPARUS,Parus minor\nparus ,parus_major\n")
    assert edges(taxonomy) == {("Parus major", "Parus"), ("Parus minor", "Parus")}
    assert noted(taxonomy, "3 spellings", '"Parus" for "PARUS"')


# edge lists


def test_an_edge_list_is_a_graph_with_what_it_says_of_each_child(read: Read) -> None:
    taxonomy = read(
        "child,note,parent,rank,label,length,synonyms,concept\n"
        "animal,,,kingdom,,,,\n"
        "dog,x,canine,species,Hound,1.5,cur|Canis  Familiaris,n02084071\n"
        "dog,y,pet,,,0,-,\n"
        "canine,,animal,,,1e-3,,\n"
        "pet,,animal,NA,,,,\n"
    )
    assert edges(taxonomy) == {
        ("dog", "canine"), ("dog", "pet"), ("canine", "animal"), ("pet", "animal")
    }  # fmt: skip
    pairs = zip(taxonomy.children, taxonomy.parents, strict=True)
    lengths = dict(zip(pairs, taxonomy.lengths, strict=True))
    assert lengths == {
        ("dog", "canine"): 1.5, ("dog", "pet"): 0.0, ("canine", "animal"): 0.001, ("pet", "animal"): None
    }  # fmt: skip
    assert taxonomy.taxa == ["animal", "dog", "canine", "pet"]
    assert taxonomy.labels == ["animal", "Hound", "canine", "pet"]
    assert taxonomy.ranks == ["kingdom", "species", None, None]
    assert dict(taxonomy.names) == {
        "animal": "animal", "dog": "dog", "canine": "canine", "pet": "pet", "cur": "dog",
        "canis familiaris": "dog", "n02084071": "dog",
    }  # fmt: skip
    assert taxonomy.notes == ()
    in_order(taxonomy)


def test_doubled_edges_are_merged(read: Read) -> None:
    taxonomy = read("child,parent,length\na,b,\nc,b,2\na,b,1\nc,b,\na,b,1.0\n")
    assert taxonomy.children == ["a", "c"]
    assert taxonomy.lengths == [1.0, 2.0]
    assert taxonomy.notes == ("3 rows with an edge of an earlier row, first row 4: merged",)


@pytest.mark.parametrize(
    ("rows", "pattern"),
    [
        ("a,a", 'row 2: "a" → "a" .*is a cycle'),
        ("a,b\nb,c\nc,a\nx,c\nd,a", 'row 2: "a" → "b" → "c" → "a" .*is a cycle'),
        ("x,r\nd,a\na,r\na,b\nb,a", 'row 5: "a" → "b" → "a" .*each under the next'),
        (",b", "row 2: the child is empty"),
        ("NA,b", "row 2: the child is empty"),
        ("a,b\nA,c", 'rows 2 and 3: "a" and "A" differ only in case'),
        ("x y,b\nc,x_y", 'rows 2 and 3: "x y" and "x_y" differ only'),
        ("a,b\na,", 'row 3: "a" has no parent here, but one in another row'),
        ("a,\nb,", "no taxon stands under another"),
    ],
)
def test_bad_edges_name_their_row(read: Read, rows: str, pattern: str) -> None:
    refused(read, f"child,parent\n{rows}\n", pattern)


@pytest.mark.parametrize(
    "length", ["-1", "nan", "inf", "1e999", "1_0", "one", '"0,5"', "٣", "0x1", "-1e-300", "1 2"]
)
def test_lengths_are_finite_numbers_of_0_or_more(read: Read, length: str) -> None:
    refused(read, f"child,parent,length\na,b,{length}\n", "row 2: the length is .*finite number")


def test_what_edges_say_twice_must_agree(read: Read) -> None:
    head = "child,parent,length,rank,label,synonyms,concept\n"
    refused(read, f"{head}a,b,1,,,,\na,b,2,,,,\n", 'rows 2 and 3: "a" under "b" has .* 1.0 and 2.0')
    refused(read, f"{head}a,b,,x,,,\na,c,,y,,,\n", 'rows 2 and 3: the rank of "a" is "x" and "y"')
    refused(read, f"{head}a,b,,,x,,\na,c,,,y,,\n", 'rows 2 and 3: the label of "a" is "x" and "y"')
    refused(read, f"{head}a,b,,,,x,\nc,b,,,,,X\n", 'row 3: "X" is .* of "c" and, in row 2, of "a"')
    refused(read, f"{head}a,b,,,,B,\n", 'row 2: "B" is .* of "a", but another taxon has that name')
    assert len(read(f"{head}a,b,,x,y,z,z\na,c,,x,y,z,a\n").names) == 4


def test_a_long_cycle_is_shown_in_part(read: Read) -> None:
    rows = "".join(f"t{i},t{(i + 1) % 5000}\n" for i in range(5000))
    refused(read, f"child,parent\n{rows}", '"t0" → "t1" → .*"t5" → … → "t4999" → "t0"')


# Newick


def test_a_newick_tree_is_a_tree_of_its_nodes(read: Read) -> None:
    taxonomy = read("((a_b:1,'c_d':2)x:0.5,('e, (f)':1,'it''s':0)95:2,[no]7:3)[y]r:9;\n", "x.nwk")
    assert taxonomy.taxa == ["r", "x", "a b", "c_d", "clade 1", "e, (f)", "it's", "7"]
    assert edges(taxonomy) == {
        ("x", "r"), ("a b", "x"), ("c_d", "x"), ("clade 1", "r"), ("e, (f)", "clade 1"),
        ("it's", "clade 1"), ("7", "r"),
    }  # fmt: skip
    assert dict(zip(taxonomy.children, taxonomy.lengths, strict=True)) == {
        "x": 0.5, "a b": 1.0, "c_d": 2.0, "clade 1": 2.0, "e, (f)": 1.0, "it's": 0.0, "7": 3.0
    }  # fmt: skip
    assert dict(taxonomy.names) == {
        "a b": "a b", "c d": "c_d", "e, (f)": "e, (f)", "it's": "it's", "7": "7", "x": "x", "r": "r"
    }  # fmt: skip
    assert set(taxonomy.ranks) == {None}
    assert noted(taxonomy, "1 inner node without a name")
    in_order(taxonomy)


def test_unnamed_and_doubled_inner_nodes_get_keys_of_their_own(read: Read) -> None:
    taxonomy = read("(((a,b)n,(c,'clade 1')N)n,((e,f)98.5/100,(g,h)'')a,i,(j,k)1e-3);", "x.nwk")
    assert taxonomy.taxa == [
        "clade 2", "n", "n (2)", "a", "b", "N (2)", "c", "clade 1",
        "a (2)", "clade 3", "e", "f", "clade 4", "g", "h", "i", "clade 5", "j", "k",
    ]  # fmt: skip
    names = dict(taxonomy.names)
    assert names["a"] == "a"
    assert "n" not in names
    assert "clade 3" not in names
    assert noted(taxonomy, "2 names of several nodes")
    assert noted(taxonomy, "4 inner nodes without a name")
    in_order(taxonomy)


def test_a_third_node_of_one_name_and_a_name_that_begins_with_a_number(read: Read) -> None:
    taxonomy = read("((a,b)n,((c,d)n,(e,f)n)95x)r;", "x.nwk")
    assert {("n", "r"), ("n (2)", "95x"), ("n (3)", "95x")} < edges(taxonomy)
    assert set(dict(taxonomy.names)) == {*"abcdef", "95x", "r"}


def test_lengths_that_are_partly_missing_are_left_out(read: Read) -> None:
    taxonomy = read("(a:1,b,c:0)r;", "x.nwk")
    assert taxonomy.lengths == [None, None, None]
    assert noted(taxonomy, "1 branch of 3 without a length")
    assert not read("(a,b)r;", "x.nwk").notes
    assert not read("(a:1,b:0)r;", "x.nwk").notes


@pytest.mark.parametrize(
    ("tree", "pattern"),
    [
        ("(a,b", "no valid Newick tree"),
        ("((a,b);", "no valid Newick tree"),
        ("(a,b));", "no valid Newick tree"),
        ("(a,'b);", "no valid Newick tree"),
        (",)", "no valid Newick tree. A tree reads"),
        ("(a b,c);", "no valid Newick tree: .*whitespace"),
        ("(a:x,b);", "no valid Newick tree: .*x"),
        ("(a:,b);", "no valid Newick tree"),
        ("kingdom,species\n", "no valid Newick tree"),
        ("#NEXUS\nbegin trees;", "NEXUS file; save the tree as Newick"),
        ("(a,b);\n(c,d);", "row 1: there is more after the semicolon"),
        ("('a;',\n'it''s'[;]);\nx", "row 2: there is more after the semicolon"),
        ("(a[it's],b);\n(c,d);", "row 1: there is more after the semicolon"),
        ("a;", 'a single leaf, "a"'),
        ("((a)b)c;", 'a single leaf, "a"'),
        (";", "1 leaf has no name, of 1"),
        ("(,a,'');", "2 leaves have no name, of 3"),
        ("(a,b,(a,c));", 'leaves of the same name.*: "a"; give'),
        ("(a_b,'A b',c);", 'leaves of the same name.*: "a b", "A b"; give'),
        ("(a:-1,b:1);", 'the branch of "a" has the length -1.0'),
        ("(a:1,b:nan);", 'the branch of "b" has the length nan'),
        ("(a:1,(b:1,c:1):inf);", 'the branch of "clade 2" has the length inf'),
        ("(a,\n'b\x07');", r"row 2: .*U\+0007"),
        ("(a,'b\nc');", r"row 1: .*U\+000A"),
        (f"(a,{'x' * 1001});", "1,001 characters"),
    ],
)
def test_bad_trees_are_refused(read: Read, tree: str, pattern: str) -> None:
    refused(read, tree, pattern, "x.nwk")


@pytest.mark.parametrize("end", ["", "\n", " ;\n", "\n[made by hand; really]\n"])
def test_one_tree_may_be_followed_by_blanks_and_comments(read: Read, end: str) -> None:
    assert len(read(f"('a;',[;]b);{end}", "x.nwk").taxa) == 3


def test_a_deep_tree_is_read(read: Read) -> None:
    n = 3000
    tree = "(" * (n - 1) + "s0" + "".join(f",s{i})" for i in range(1, n)) + ";"
    taxonomy = read(tree, "x.nwk")
    assert len(taxonomy.taxa) == 2 * n - 1
    parent = dict(edges(taxonomy))
    above = ["s0"]
    while above[-1] in parent:
        above.append(parent[above[-1]])
    assert len(above) == n


# laws

NAMES = st.text(st.sampled_from("aBé ,;()'\"_|→\t.鳥-1"), min_size=1, max_size=6).filter(
    lambda name: "\t" not in name and name == name.strip() and taxon_name(name) and name != "-"
)


@st.composite
def trees(draw: st.DrawFn, parents_at_most: int = 1) -> dict[str, list[str]]:
    """The parents of each taxon; the first has none, and stands before its children."""
    names = draw(st.lists(NAMES, min_size=3, max_size=9, unique_by=taxon_name))
    found: dict[str, list[str]] = {names[0]: []}
    for i, name in enumerate(names[1:], 1):
        several = st.lists(
            st.sampled_from(names[:i]), min_size=1, max_size=parents_at_most, unique=True
        )
        found[name] = draw(several)
    return found


def expected(parents: dict[str, list[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, above in parents.items():
        found[name] = set(above).union(*(found[each] for each in above))
    return found


def reread(text: str, name: str) -> Taxonomy:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", newline="")
        return read_taxonomy(path)


def in_order_or_refused(text: str, name: str) -> None:
    message = ""
    try:
        in_order(reread(text, name))
    except TaxonomyError as error:
        message = str(error)
    assert single_line(message)


def table_text(rows: list[list[str]], delimiter: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


@given(parents=trees(parents_at_most=3), delimiter=st.sampled_from(",;\t"), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_edges_read_back_the_same_ancestors(
    parents: dict[str, list[str]], delimiter: str, seed: int
) -> None:
    rows = [[name, parent] for name, above in parents.items() for parent in above]
    random.Random(seed).shuffle(rows)
    taxonomy = reread(table_text([["child", "parent"], *rows], delimiter), "x.csv")
    in_order(taxonomy)
    assert ancestors(taxonomy) == expected(parents)
    assert dict(taxonomy.names) == {taxon_name(name): name for name in parents}


def newick(parents: dict[str, list[str]], name: str) -> str:
    children = [newick(parents, child) for child, above in parents.items() if above == [name]]
    inner = f"({','.join(children)})" if children else ""
    return inner + "'" + name.replace("'", "''") + "'"


@given(parents=trees())
@settings(max_examples=25)
def test_newick_reads_back_the_same_ancestors(parents: dict[str, list[str]]) -> None:
    # numbers are support values for inner nodes; a single leaf is refused
    parents = {f"t{name}": [f"t{each}" for each in above] for name, above in parents.items()}
    last = next(iter(parents))
    parents |= {"leaf one": [last], "leaf two": [last]}
    taxonomy = reread(newick(parents, last) + ";", "x.nwk")
    in_order(taxonomy)
    assert ancestors(taxonomy) == expected(parents)
    assert dict(taxonomy.names) == {taxon_name(name): name for name in parents}


@given(
    names=st.lists(NAMES, min_size=13, max_size=13, unique_by=taxon_name),
    genera=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    families=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    holes=st.lists(st.booleans(), min_size=6, max_size=6),
    delimiter=st.sampled_from(",;\t"),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_lineages_read_back_the_same_ancestors(
    names: list[str],
    genera: list[int],
    families: list[int],
    holes: list[bool],
    delimiter: str,
    seed: int,
) -> None:
    kingdom, *rest = names
    family, genus, species = rest[:2], rest[2:6], rest[6:]
    rows = []
    above: dict[str, set[str]] = {kingdom: set()}
    filled = {g for g, hole in zip(genera, holes, strict=True) if not hole}
    for name, g, hole in zip(species, genera, holes, strict=True):
        f = family[families[g]]
        rows.append([kingdom, "" if hole else f, genus[g], name])
        above[genus[g]] = {kingdom, f} if g in filled else {kingdom}
        above[name] = above[genus[g]] | {genus[g]}
        above.update({} if hole else {f: {kingdom}})
    rows += random.Random(seed).choices(rows, k=2)
    random.Random(seed).shuffle(rows)
    header = [["kingdom", "family", "genus", "species"]]
    taxonomy = reread(table_text(header + rows, delimiter), "x.csv")
    in_order(taxonomy)
    assert ancestors(taxonomy) == above
    assert dict(taxonomy.names) == {taxon_name(name): name for name in above}
    assert noted(taxonomy, "2 rows with species of an earlier row")
    assert noted(taxonomy, "not filled in") == any(holes)


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "A", "", "a (f)", "root"]), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60)
def test_any_table_is_a_taxonomy_or_refused(rows: list[list[str]]) -> None:
    in_order_or_refused(table_text([["f", "g", "s"], *rows], ","), "x.csv")


@given(st.text(st.sampled_from("(),;:'[]ab1_ .\n"), max_size=20))
@settings(max_examples=100)
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    in_order_or_refused(text, "x.nwk")


@given(st.text(st.sampled_from("ab,;\t\"'\n\r- "), max_size=30))
@settings(max_examples=60)
def test_any_edges_are_a_taxonomy_or_refused(text: str) -> None:
    in_order_or_refused(f"child,parent\n{text}", "x.csv")
