"""Sums and differences of classes: ``king crab + American lobster - crayfish``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from classrel_db.errors import ArgumentError
from classrel_db.spelling import quoted


@dataclass(frozen=True, slots=True)
class Term:
    """One class of an expression; ``sign`` is +1 or -1."""

    sign: int
    text: str


def parse(text: str) -> list[Term] | None:
    """The terms of an expression, or None where ``text`` is no expression.

    Signs stand between blanks, so that hyphens inside labels ("black-and-tan coonhound") are left
    alone; a label in double quotes may hold anything. Raises ArgumentError for a missing term.
    """
    pieces = re.split(r'\s+([+-])\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', f" {text.strip()} ")
    if len(pieces) == 1:
        return None
    signs = ["+", *pieces[1::2]]
    terms = [
        Term(1 if sign == "+" else -1, piece.strip().strip('"').strip())
        for sign, piece in zip(signs, pieces[::2], strict=True)
    ]
    if not all(term.text for term in terms):
        raise ArgumentError(
            f"{quoted(text)} lacks a class beside a sign; write it as "
            '"king crab + American lobster - crayfish"'
        )
    return terms
