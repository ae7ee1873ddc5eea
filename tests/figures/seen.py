"""What a reader sees of a figure: the texts that are drawn, where they stand, and what they run into."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
from matplotlib.text import Text
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLACK = 0.4  # points: less than the white about a letter


@dataclass(frozen=True)
class Seen:
    """A text that was drawn: ``centre`` (2,), ``size`` (2,) along and across the line, and ``reach`` (4,):
    x0, y0, x1, y1 of the upright box about it, all in points from the lower left of the figure."""

    text: str
    points: float
    degrees: float
    centre: np.ndarray
    size: np.ndarray
    reach: np.ndarray
    artist: Text

    @property
    def corners(self) -> np.ndarray:
        along, across = self.axes * self.size[:, None] / 2
        return self.centre + np.array(
            [along + across, along - across, -along - across, across - along]
        )

    @property
    def axes(self) -> np.ndarray:
        turn = np.radians(self.degrees)
        return np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def seen(figure: Figure) -> list[Seen]:
    """The texts of a figure, as its vector formats have them: ticks out of sight are none of them."""
    found: list[Seen] = []
    draw = Text.draw

    def spy(text: Text, renderer: object, *args: object, **given: object) -> None:
        draw(text, renderer, *args, **given)
        if not (text.get_visible() and text.get_text().strip()):
            return
        degrees = text.get_rotation()
        # of an annotation, the letters without the arrow
        turned = Text.get_window_extent(text, renderer)
        flat = turned
        if degrees % 180:
            text.set_rotation(0)
            flat = Text.get_window_extent(text, renderer)
            text.set_rotation(degrees)
        found.append(
            Seen(
                text.get_text(),
                text.get_fontsize(),
                degrees,
                np.array([(turned.x0 + turned.x1) / 2, (turned.y0 + turned.y1) / 2]),
                np.array([flat.width, flat.height]),
                np.array(turned.extents),
                text,
            )
        )

    with mock.patch.object(Text, "draw", spy):
        figure.savefig(io.BytesIO(), format="svg")
    return found


def cut_off(figure: Figure, texts: list[Seen] | None = None) -> dict[str, float]:
    """The texts that reach out of the figure, with how far, in points."""
    wide, tall = figure.get_size_inches() * 72
    found = {}
    for each in seen(figure) if texts is None else texts:
        x0, y0, x1, y1 = each.reach
        beyond = max(-x0, -y0, x1 - wide, y1 - tall)
        if beyond > SLACK:
            found[each.text] = round(float(beyond), 1)
    return found


def overlapping(texts: list[Seen]) -> list[tuple[str, str]]:
    """The pairs of texts whose boxes, turned as they are, run into each other."""
    if len(texts) < 2:
        return []
    half = np.array([np.hypot(*each.size) / 2 for each in texts])
    near = cKDTree([each.centre for each in texts]).query_pairs(2 * half.max())
    return [
        (texts[i].text, texts[j].text)
        for i, j in sorted(near)
        if np.hypot(*(texts[i].centre - texts[j].centre)) < half[i] + half[j]
        and _meet(texts[i], texts[j])
    ]


def _meet(one: Seen, other: Seen) -> bool:
    """Whether no line separates two turned boxes (the separating axis theorem)."""
    # lines of type may share the white about their letters, in proportion to their size
    slack = min(SLACK, 0.12 * min(one.points, other.points))
    for axis in (*one.axes, *other.axes):
        a, b = one.corners @ axis, other.corners @ axis
        if a.max() <= b.min() + slack or b.max() <= a.min() + slack:
            return False
    return True
