"""What is known of the zoos' heads without a network: a table that ships with the package."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The size of a head, classes × dim, and the bytes of its file: an estimate for timm's."""

    classes: int
    dim: int
    has_bias: bool
    file_bytes: int

    @property
    def head_bytes(self) -> int:
        """Of weight and bias, as float32."""
        return 4 * self.classes * (self.dim + self.has_bias)


@cache
def known_heads(source: str) -> dict[str, KnownHead]:
    """The heads of one zoo, ``torchvision`` or ``timm``, by the name of the model."""
    table = resources.files("classrel_db") / "data" / "zoo_heads.csv"
    with table.open(encoding="utf-8") as file:
        return {
            row["ref"]: KnownHead(
                int(row["classes"]), int(row["dim"]), row["bias"] == "1", int(row["file_bytes"])
            )
            for row in csv.DictReader(file)
            if row["source"] == source
        }


def may_have(package: str, model: str) -> bool:
    """Whether ``package`` may have a model of that name.

    It takes seconds to import: until it is, no is said of a name that stands nowhere in its modules.
    """
    spec = None if package in sys.modules else find_spec(package)
    folders = (spec and spec.submodule_search_locations) or ()
    modules = [path for folder in folders for path in Path(folder, "models").rglob("*.py")]
    name = re.compile(rb"(?<!\w)" + re.escape(model.encode(errors="replace")) + rb"(?!\w)")
    try:
        return not modules or any(name.search(path.read_bytes()) for path in modules)
    except OSError:  # the import says why
        return True
