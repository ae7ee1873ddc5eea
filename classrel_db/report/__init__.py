"""The explorer: what a catalog holds as one HTML file that needs nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classrel_db.errors import ArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from classrel_db.catalog import Catalog
    from classrel_db.records import Progress

_ENDINGS = (".html", ".htm")


def write(
    catalog: Catalog,
    path: str | os.PathLike[str],
    models: str | Sequence[str] | None = None,
    *,
    k: int = 25,
    resamples: int | None = None,
    seed: int = 0,
    taxonomy: str = "wordnet",
    title: str = "classrel",
    progress: Progress | None = None,
) -> Path:
    """Write the explorer of ``models``, or of all, to one HTML file that opens without server or network.

    The arguments are those of :meth:`Catalog.report`; ``title`` stands above the page. The file is written
    whole or not at all. Returns where it is. Raises UnknownModelError, and ArgumentError also for a file
    that can't be written or does not end in .html.
    """
    from pathlib import Path

    from classrel_db.outputs import replacing, require_other
    from classrel_db.report.document import document
    from classrel_db.report.payload import Payload

    output = Path(path)
    if output.suffix.lower() not in _ENDINGS:
        raise ArgumentError(
            f"a report is an HTML file, and {output} does not end in {' or '.join(_ENDINGS)}; name "
            f"{_advised(output)}"
        )
    require_other(output, catalog.path)
    with replacing(output) as target:  # before the work: a folder that is not there is told at once
        report = catalog.report(
            models, k=k, resamples=resamples, seed=seed, taxonomy=taxonomy, progress=progress
        )
        target.write_text(document(Payload(report), title), encoding="utf-8")
    return output


def _advised(output: Path) -> str:
    """What to name instead: the same with the right ending, where that is the name of a file."""
    is_named = output.name[:1].isalnum() and not output.is_dir()
    return f"it {output.with_suffix('.html').name}" if is_named else "a file that ends in .html"
