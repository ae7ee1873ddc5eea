"""A report as what the page reads: a manifest in JSON, lists of text, and arrays in base64.

An array is little-endian, of a kind that numpy and a browser's typed arrays both have. Cosines of all
pairs are whole numbers of ten thousandths: the four decimals that a table shows, and half the bytes of
a float. Those of neighbours are stored in full.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from classrel_db.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from classrel_db.catalog.reporting import Blocks, Report, ReportedModel, ReportedTree
    from classrel_db.records import CladeSupport

_TEN_THOUSANDTHS = 10_000
_NO_SHARE = 0xFFFF  # of a share in ten thousandths: it is not known
_NO_MEAN = -0x8000  # of a cosine in ten thousandths: there is none


class Payload:
    """``manifest`` is a JSON object, in which the ids of ``texts`` (JSON) and ``arrays`` (base64) stand."""

    def __init__(self, report: Report) -> None:
        self.texts: dict[str, str] = {}
        self.arrays: dict[str, str] = {}
        self._spaces: dict[tuple[tuple[str, str], ...], int] = {}
        self._strings: dict[str, int] = {}
        self._listed: list[dict[str, Any]] = []
        self._read_as = report.read_as
        models = [self._model(each) for each in report.models]
        settings = report.settings
        self.manifest: dict[str, Any] = {
            "created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "version": __version__,
            "k": settings.k,
            "seed": settings.seed,
            "taxonomy": settings.taxonomy,
            "method": report.method,
            "distance": report.distance,
            "spaces": self._listed,
            "strings": self._text(list(self._strings)),
            "models": models,
            "comparisons": report.comparisons,
            "disagreements": self._text(
                [
                    {"models": [each.model_a, each.model_b], "n": each.n, "classes": each.classes}
                    for each in report.disagreements
                ]
            ),
            "notes": report.notes,
            "measures": _measures({(each["measure"], each["k"]) for each in report.comparisons}),
            "resamples": max((settings.resamples_of(m.model) for m in report.models), default=0),
        }

    def _model(self, shown: ReportedModel) -> dict[str, Any]:
        model = shown.model
        n = model.n_classes
        return {
            "name": model.name,
            "source": model.source,
            "labelSpace": model.label_space,
            "normalization": model.normalization,
            "classes": n,
            "dim": model.dim,
            "sha256": model.weights_sha256,
            "space": self._space(shown),
            "norms": self._array(np.asarray([each.norm for each in shown.classes]), "f8"),
            "nearest": shown.neighbors.shape[1],
            "neighbors": self._array(shown.neighbors, _index_kind(n)),
            "cosines": self._array(shown.cosines, "f4"),
            "supported": 0 if shown.support is None else shown.support.shape[1],
            "support": None if shown.support is None else self._shares(shown.support),
            "pairs": None if shown.pairs is None else self._cosines(shown.pairs),
            "blocks": {name: self._blocks(each, n) for name, each in shown.blocks.items()},
            "tree": None if shown.tree is None else self._tree(shown.tree, n),
            "leftOut": list(shown.left_out),
        }

    def _space(self, shown: ReportedModel) -> int:
        """The place of a model's labels and concepts among those listed; models may share theirs."""
        found = tuple((each.label, each.concept) for each in shown.classes)
        if found not in self._spaces:
            self._spaces[found] = len(self._spaces)
            concepts = [concept for _, concept in found]
            keys = [self._read_as.get(concept, concept) for concept in concepts]
            self._listed.append(
                {
                    "labels": self._text([label for label, _ in found]),
                    "concepts": self._text(concepts),
                    # where a model has both of two concepts that are one, each stays what it is
                    "keys": None
                    if keys == concepts or len(set(keys)) < len(keys)
                    else self._text(keys),
                }
            )
        return self._spaces[found]

    def _tree(self, tree: ReportedTree, n: int) -> dict[str, Any]:
        names = [
            -1 if name is None else self._strings.setdefault(name, len(self._strings))
            for name in tree.names
        ]
        kind = _index_kind(2 * n)
        return {
            "left": self._array(tree.Z[:, 0], kind),
            "right": self._array(tree.Z[:, 1], kind),
            "heights": self._array(tree.Z[:, 2], "f8"),
            "order": self._array(tree.order, kind),
            "names": self._array(np.asarray(names, dtype=np.int64), "i4"),
            "f1": self._array(tree.f1, "f4"),
            "medoids": self._array(tree.medoids, kind),
            "support": {kind: self._clades(each, n) for kind, each in tree.support.items()},
        }

    def _clades(self, support: CladeSupport, n: int) -> dict[str, Any]:
        shares = np.full(n - 1, np.nan)
        shares[support.nodes - n] = support.support
        drawn = int(support.n.max(initial=0))
        return {"shares": self._shares(shares), "of": drawn, "seed": support.seed}

    def _blocks(self, blocks: Blocks, n: int) -> dict[str, Any]:
        upper = np.triu_indices(len(blocks.cosine))
        return {
            "order": self._array(blocks.order, _index_kind(n)),
            "starts": self._array(blocks.starts, "u4"),
            "cosines": self._cosines(blocks.cosine[upper]),
        }

    def _cosines(self, values: NDArray[np.float32]) -> dict[str, Any]:
        """A float32 times ten thousand is exact in float64, so that ties round to even as in a table."""
        wide = np.asarray(values, dtype=np.float64)
        whole = np.where(np.isnan(wide), _NO_MEAN, np.rint(wide * _TEN_THOUSANDTHS))
        return self._array(whole, "i2")

    def _shares(self, values: NDArray[np.float64]) -> dict[str, Any]:
        whole = np.where(np.isnan(values), _NO_SHARE, np.rint(values * _TEN_THOUSANDTHS))
        return self._array(whole, "u2")

    def _array(self, values: NDArray[Any], kind: str) -> dict[str, Any]:
        """Keep an array; what stands for it in the manifest."""
        name = f"a{len(self.arrays)}"
        stored = np.ascontiguousarray(values, dtype=f"<{kind}")
        self.arrays[name] = base64.b64encode(stored.tobytes()).decode("ascii")
        return {"id": name, "kind": kind, "length": stored.size}

    def _text(self, values: list[Any]) -> str:
        name = f"t{len(self.texts)}"
        self.texts[name] = json_of(values)
        return name


def json_of(value: Any) -> str:
    """JSON that can stand in a script element: no label ends it, and none opens a comment in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _index_kind(n: int) -> str:
    """What whole numbers below n are stored as."""
    return "u2" if n <= np.iinfo(np.uint16).max else "u4"


def _measures(found: set[tuple[str, int | None]]) -> dict[str, dict[str, Any]]:
    """What can be chosen: each measure, at each k that there is of it."""
    from classrel_db.maths.measures import MEASURES

    order = list(MEASURES)
    chosen = sorted(found, key=lambda each: (order.index(each[0]), each[1] or 0))
    return {
        name if k is None else f"{name}, k = {k}": {
            "measure": name,
            "k": k,
            "title": MEASURES[name].title,
            "reading": _sentence(MEASURES[name].reading),
            "bounds": MEASURES[name].bounds,
        }
        for name, k in chosen
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
