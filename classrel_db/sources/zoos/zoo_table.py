"""What is known of the zoos' heads without a network: a table that ships with the package."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources


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
