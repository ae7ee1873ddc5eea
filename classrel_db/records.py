"""The values that pass between the layers: frozen dataclasses without behaviour of their own.

Matrix letters: C classes, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy as np
    from duckdb import DuckDBPyRelation
    from numpy.typing import ArrayLike, NDArray

    from classrel_db.errors import ClassrelError

Normalization = Literal["standardize", "center", "none"]
NORMALIZATIONS: tuple[Normalization, ...] = ("standardize", "center", "none")

PairPolicy = Literal["auto", "all", "none"]
PAIR_POLICIES: tuple[PairPolicy, ...] = ("auto", "all", "none")

Format = Literal["table", "json", "jsonl", "csv", "markdown", "parquet", "arrow"]
FORMATS: tuple[Format, ...] = ("table", "json", "jsonl", "csv", "markdown", "parquet", "arrow")

Linkage = Literal["ward", "average", "complete", "single", "weighted", "centroid", "median"]
LINKAGES: tuple[Linkage, ...] = (
    "ward", "average", "complete", "single", "weighted", "centroid", "median",
)  # fmt: skip

TreeDistance = Literal["chord", "condensed", "profile", "euclidean"]
TREE_DISTANCES: tuple[TreeDistance, ...] = ("chord", "condensed", "profile", "euclidean")

TaxonomyKind = Literal["lineage", "edges", "newick"]
TAXONOMY_KINDS: tuple[TaxonomyKind, ...] = ("lineage", "edges", "newick")

TreeFormat = Literal["newick", "nexus", "graphml", "node-link"]
TREE_FORMATS: tuple[TreeFormat, ...] = ("newick", "nexus", "graphml", "node-link")

Order = Literal["class", "leaf"]
ORDERS: tuple[Order, ...] = ("class", "leaf")

Projection = Literal["mds", "umap"]
PROJECTIONS: tuple[Projection, ...] = ("mds", "umap")

ExportFormat = Literal["embedding-atlas", "projector", "parquet", "npz", "csv"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = ("embedding-atlas", "projector", "parquet", "npz", "csv")

INTERRUPTED = 130  # the exit code of what Ctrl-C ended

DEFAULT_PERMUTATIONS = 999  # the least p is then 0.001

RESAMPLES = 1_000  # of the dimensions, for support: a share is known to within 0.03

CLADE_RESAMPLES = 100  # of the dimensions, for the support of clades: known to within 0.1

Stage = Literal[
    "download",
    "read",
    "pairs",
    "neighbors",
    "support",
    "compare",
    "heads",
    "models",
    "classes",
    "trees",
    "clades",
    "measures",
]


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """An ordered list of classes: what row i of a head stands for.

    ``labels`` are for display; ``concepts`` are the identity, unique within the space: a WordNet
    id, a taxon name, else the case-folded label.
    """

    name: str
    labels: tuple[str, ...]
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """One classification head as its source holds it, before any normalisation.

    ``weight`` is C×D float32, ``bias`` is (C,) float32 or None. ``bytes_read`` of ``bytes_total``
    is what reading the head cost.

    ``dtype`` is how the weights are stored, by safetensors' name of the format, and ``rounding`` (C,)
    the Euclidean length that the rounding to it may have taken from or added to each row; None where
    it is nothing. ``revision`` is the commit of a repository or the version of a package, ``etag`` the
    server's mark of the file's state, ``license`` and ``reference`` what the source states of the weights;
    None where it states nothing. ``others`` are the heads beside this one in the same model.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    space: LabelSpace
    source: str
    uri: str
    head_key: str
    bytes_read: int
    bytes_total: int
    dtype: str = "F32"
    rounding: NDArray[np.float64] | None = None
    revision: str | None = None
    etag: str | None = None
    license: str | None = None
    reference: str | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """How far one stage of work on one model has come, in bytes, classes, pairs or resamples.

    ``total`` is 0 where it is not known. ``note`` is what to know of it before it goes on.
    """

    model: str
    stage: Stage
    done: int
    total: int
    note: str = ""


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A stored head, by what its file tells before the head is read: the server's mark of the file's
    state, the tensor, and what its rows stand for."""

    etag: str
    head_key: str
    labels: tuple[str, ...]
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a user may say about a file whose head or labels its source does not know.

    ``full`` reads the whole file, keeps it where its maker's own library would, and checks its hash
    where one is published. What is ``known`` is not read again.
    """

    head: str | None = None
    labels: str | Path | None = None
    full: bool = False
    known: KnownHead | None = None


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One model that a source can load: ``spec`` is what a user types to ingest it.

    ``name`` is what it is stored under. ``classes`` × ``dim`` is its head, of which ``head_bytes``
    would be read, with the bias, of the ``file_bytes``; None where that is not known beforehand.
    ``cached`` says whether the file lies on this machine.
    """

    spec: str
    source: str
    uri: str
    name: str
    classes: int | None = None
    dim: int | None = None
    head_bytes: int | None = None
    file_bytes: int | None = None
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Ingested:
    """What one ingest did: ``status`` is added, replaced or unchanged.

    ``dtype``, ``cosine_error``, ``search``, ``recall`` and the like are as of StoredModel.
    ``other_heads`` are the heads beside this one in the same model, ``same_as`` is a model that holds the
    very same weights under another name.
    """

    model: str
    status: Literal["added", "replaced", "unchanged"]
    n_classes: int
    dim: int
    n_pairs: int
    bytes_read: int
    bytes_total: int
    seconds: float
    dtype: str | None = "F32"
    cosine_error: float | None = 0.0
    other_heads: tuple[str, ...] = ()
    same_as: str | None = None
    search: str = "exact"
    recall: float = 1.0
    recall_low: float = 1.0
    recall_all: float = 1.0


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What a user says of all models of one ingest: as of ``Catalog.ingest``; ``memory`` in bytes."""

    head: str | None
    labels: str | os.PathLike[str] | None
    normalization: Normalization
    pairs: PairPolicy
    replace: bool
    full: bool
    exact: bool = False
    memory: int = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Failed:
    """A model of a batch that was not stored, and why."""

    spec: str
    model: str
    error: ClassrelError


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One row of ``models``, its fields the columns: what the database knows of a head.

    ``weight_error`` is the most that the rounding to ``dtype`` may have changed of a row, as a share of
    its length, ``cosine_error`` what that may have changed in any cosine, at most 2; both are 0 where
    nothing was rounded. The eight from ``revision`` on are None where the source tells nothing, and in a
    model that was stored before schema 4.

    ``search`` says how the neighbours were found: ``exact``, or approximately; ``recall`` is then the share
    of the 10 true nearest that are among the 10 stored, over ``recall_sample`` classes, ``recall_low`` the
    lower end of its 95 % interval, and ``recall_all`` the share of all, up to 100, that are stored.
    """

    model_id: int
    name: str
    source: str
    uri: str
    head_key: str
    label_space: str
    concepts_sha256: str
    normalization: Normalization
    n_classes: int
    dim: int
    n_pairs: int
    weights_sha256: str
    rows_sha256: str
    bytes_read: int
    bytes_total: int
    revision: str | None
    etag: str | None
    dtype: str | None
    weight_error: float | None
    cosine_error: float | None
    license: str | None
    reference: str | None
    versions: str | None
    search: str = "exact"
    recall: float = 1.0
    recall_low: float = 1.0
    recall_all: float = 1.0
    recall_sample: int | None = None


@dataclass(frozen=True, slots=True)
class StoredClass:
    """One class of one model; ``norm`` is the length of its stored row."""

    model_id: int
    index: int
    label: str
    concept: str
    norm: float

    @property
    def has_id(self) -> bool:
        """Whether the concept is an id of its own, not just the label again."""
        return self.concept != self.label.casefold()


@dataclass(frozen=True, slots=True)
class Focal:
    """What one model was asked about, and the indices of the classes that may answer, rising.

    ``terms`` are (sign, class index) of each class: one for a class by itself, several for a sum; none
    for a ``vector`` (D,) of the raw feature space.
    """

    model: StoredModel
    allowed: Sequence[int]
    terms: tuple[tuple[int, int], ...] = ()
    vector: ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class StoredComparison:
    """One row of ``comparisons``, its fields the columns: a measure of two models, by their ids."""

    model_a: int
    model_b: int
    measure: str
    normalization: Normalization
    k: int | None
    n: int
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None
    null_value: float | None
    permutations: int
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class StoredTree:
    """The tree of one model: its linkage matrix ``Z`` ((C-1)×4, as scipy has it, leaves by class index)
    and the ``order`` (C,) of its leaves, found as ``ordering`` says: optimal or projection."""

    model_id: int
    method: Linkage
    distance: TreeDistance
    Z: NDArray[np.float64]
    order: NDArray[np.int64]
    ordering: str


@dataclass(frozen=True, slots=True)
class CladeSupport:
    """How often the clades of a tree are found again: in resamples of the ``dimensions`` or in other
    ``models``. By node: ``nodes`` (s,), the shares ``support`` and, of models, ``nearly``, and of how many
    (``n``)."""

    kind: str
    nodes: NDArray[np.int64]
    support: NDArray[np.float64]
    nearly: NDArray[np.float64] | None
    n: NDArray[np.int64]
    seed: int | None


@dataclass(frozen=True, slots=True)
class SimilarityMatrix:
    """The cosines and Euclidean distances (m×m) of a model's classes, or of m blocks of them, in an order.

    ``labels`` and ``concepts`` (C) are the classes in that order, ``starts`` (m+1,) the place at which
    each block starts, and C. The diagonal is NaN where a block is one class.
    """

    model: str
    order: Order
    normalization: Normalization
    cosine: NDArray[np.float32]
    euclidean: NDArray[np.float32]
    starts: NDArray[np.int64]
    labels: tuple[str, ...]
    concepts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Named taxa, and which stands under which: a directed acyclic graph with one root.

    By columns. Of each taxon: ``taxa`` (its key, unique), ``labels`` (for display), ``ranks`` (None where
    there is none). Of each edge: ``children`` and ``parents`` (keys), ``lengths`` (None where not given).
    ``names`` are (name, key): by which names a class is matched, as :func:`taxon_name` spells them, each
    once; the classes' taxa are usually the leaves, but need not be. ``notes`` say in plain words what in
    the source was mended or merged.
    """

    kind: str
    source: str
    taxa: Sequence[str]
    labels: Sequence[str]
    ranks: Sequence[str | None]
    children: Sequence[str]
    parents: Sequence[str]
    lengths: Sequence[float | None]
    names: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def taxon_name(name: str) -> str:
    """A name as names are compared: in lower case, with single blanks, also for underscores."""
    return " ".join(name.replace("_", " ").split()).lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``check`` looked at: ``ok`` or not, with what was found."""

    model: str
    check: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """One parameter of a named query, as its file's header declares it.

    ``default`` is SQL text, None where a value must be given. The type is one of DuckDB's, or
    ``CONDITION``: an SQL condition over the columns that ``help`` names.
    """

    name: str
    type: str
    default: str | None
    help: str

    @property
    def shown(self) -> str:
        """As in a call: ``k := 25``, or the name alone where there is no default."""
        return self.name if self.default is None else f"{self.name} := {self.default}"


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A table macro that one .sql file defines: ``name`` is the file's, without its ending.

    ``summary`` is one sentence, ``reading`` says how to read the answer, ``text`` is the whole file.
    """

    name: str
    summary: str
    parameters: tuple[QueryParameter, ...]
    examples: tuple[str, ...]
    reading: str
    path: Path
    text: str

    @property
    def signature(self) -> str:
        """As in a call, with the defaults."""
        return f"{self.name}({', '.join(parameter.shown for parameter in self.parameters)})"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and how they were asked for.

    ``drawing`` names the function of ``render.tables`` that draws them as a table, which shows at most
    ``most`` of them; ``format`` and ``output`` are what the command line said, or None.
    """

    rows: DuckDBPyRelation
    drawing: str = "plain_table"
    format: Format | TreeFormat | None = None
    output: Path | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: ``rows`` classes of ``models`` to a file or folder.

    ``notes`` are what to know of it, one line each: how to open it comes last.
    """

    path: Path
    to: ExportFormat
    models: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]
