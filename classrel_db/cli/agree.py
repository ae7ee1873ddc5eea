"""Commands that compare models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from classrel_db.cli.desk import FILE, MOST_DRAWN, open_catalog, reading, show, tell, watched
from classrel_db.records import NORMALIZATIONS, Normalization

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog import Catalog

_MOST_SIDE_BY_SIDE = 200  # models whose matrix is shown; of more, the couples are listed

_permutations = click.option(
    "--permutations",
    type=int,
    metavar="N",
    help="Permutations of the classes behind each p.  [default: 999]",
)
_seed = click.option(
    "--seed", type=int, default=0, show_default=True, help="What everything random is drawn with."
)
_normalize = click.option(
    "--normalize",
    type=click.Choice(NORMALIZATIONS),
    help="Compare the raw heads under this normalisation.  [default: as they are stored]",
)
_ancestors = click.option(
    "--ancestors",
    is_flag=True,
    help="A class that the other model lacks counts as the nearest WordNet ancestor that it has.",
)


def _matching(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say under which conditions classes are compared."""
    return _normalize(_ancestors(command))


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "every", is_flag=True, help="Every two models; what is found is kept.")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="Only this measure; may be repeated.  [default: all, but rsa-spearman with --all]",
)
@click.option(
    "-k",
    type=int,
    help="Neighbours that knn-jaccard counts.  [default: 25, or half of the classes]",
)
@click.option(
    "--permutations",
    type=int,
    metavar="N",
    help="Permutations of the classes behind each p.  [default: 999, 99 for procrustes; 0 with --all]; with "
    "--by, groupings of the models.  [default: 9999, or all where there are few]",
)
@click.option(
    "--resamples",
    type=int,
    metavar="N",
    help="Bootstrap resamples of the classes behind each interval.  [default: 1000; 0 with --all]",
)
@_seed
@_matching
@click.option(
    "--by",
    metavar="KEY",
    help="With --all: means within and between groups of models, by source, label_space, "
    "normalization, dim, n_classes or a tag.",
)
@click.option(
    "--memory",
    metavar="AMOUNT",
    help="With --all: hold no more of the heads at a time, such as 4GB.  [default: half of what is free]",
)
@click.option(
    "--ceiling",
    is_flag=True,
    help="How well any model could agree with these: each against the mean of the others.",
)
@click.option("--explain", is_flag=True, help="Print what each measure is: formula, range, source.")
@reading
def compare(
    models: tuple[str, ...],
    every: bool,
    measures: tuple[str, ...],
    k: int | None,
    permutations: int | None,
    resamples: int | None,
    seed: int,
    normalize: Normalization | None,
    ancestors: bool,
    by: str | None,
    memory: str | None,
    ceiling: bool,
    explain: bool,
    db: Path | None,
    **written: Any,
) -> None:
    """Say how far models agree on which classes are alike, with interval, p-value and null.

    Two or more MODELs are compared by every measure. --all compares every two models of the database
    (or of those named) and keeps what it finds in the table `comparisons`: only what is missing is
    computed, in blocks that fit into --memory, and Ctrl-C keeps what is finished.

    Classes are the same by their concept, or by `classrel map`. The interval is from resampling
    classes, p from permuting them, and null is what heads with nothing in common would give.

    \b
    Examples:
      classrel compare efficientnet_lite0 efficientnet_lite2
      classrel compare efficientnet_lite0 efficientnet_lite2 --measure rsa-spearman --format json
      classrel compare --all --measure rsa-spearman --output agreement.csv
      classrel compare --all --memory 4GB
      classrel compare --all --by source
      classrel compare --explain --measure cka-debiased
    """
    if explain:
        if written["format"] is not None or written["output"] is not None:
            raise click.UsageError("--explain is text; send it to a file with >")
        from classrel_db.render.comparisons import explanation

        click.echo(explanation(measures or None), nl=False)
        return
    if by is not None and not every:
        raise click.UsageError("--by is for --all")
    if memory is not None and not every:
        raise click.UsageError("--memory is for --all")
    if not (every or ceiling) and len(models) < 2:
        raise click.UsageError("name two models or more, or give --all")
    if ceiling and (
        every or ancestors or any(each is not None for each in (k, permutations, resamples))
    ):
        raise click.UsageError("--ceiling goes with models, --measure and --normalize alone")
    if by is not None and (ancestors or resamples is not None):
        raise click.UsageError("--by goes without --resamples and --ancestors")
    given: dict[str, Any] = {"seed": seed, "normalize": normalize}
    if k is not None:
        given["k"] = k
    with open_catalog(db) as catalog:
        if ceiling:
            with watched() as progress:
                rows = catalog.noise_ceiling(
                    *models,
                    measures=measures or "rsa-spearman",
                    normalize=normalize,
                    progress=progress,
                )
            show(catalog, rows, written)
            _tell_ceiling(
                rows.project("measure, label_space, normalization, lower, upper").fetchall()
            )
        elif not every:
            with watched() as progress:
                rows = catalog.compare(
                    *models,
                    measures=measures or None,
                    permutations=permutations,
                    resamples=1_000 if resamples is None else resamples,
                    ancestors=ancestors,
                    progress=progress,
                    **given,
                )
            show(catalog, rows, written, "comparisons.pair_tables")
            tell(_drawn_with(seed, rows.project("measure, permutations, resamples").fetchall()))
            if normalize is None or set(catalog.normalizations(models).values()) == {normalize}:
                _tell_means(catalog, models)
        else:
            given["memory"] = memory
            _compare_all(
                catalog, models, measures, permutations, resamples, ancestors, by, given, written
            )


def _compare_all(
    catalog: Catalog,
    models: tuple[str, ...],
    measures: tuple[str, ...],
    permutations: int | None,
    resamples: int | None,
    ancestors: bool,
    by: str | None,
    given: dict[str, Any],
    written: dict[str, Any],
) -> None:
    if by is not None and len(measures) > 1:
        raise click.UsageError("--by takes one --measure")
    try:
        with watched() as progress:
            if by is not None:
                rows = catalog.group_agreement(
                    by,
                    models or None,
                    measure=measures[0] if measures else "rsa-spearman",
                    permutations=9_999 if permutations is None else permutations,
                    progress=progress,
                    **given,
                )
            else:
                rows = catalog.compare_all(
                    models or None,
                    measures=measures or "rsa-spearman",
                    permutations=permutations or 0,
                    resamples=resamples or 0,
                    ancestors=ancestors,
                    progress=progress,
                    **given,
                )
    except KeyboardInterrupt:
        tell("interrupted: the comparisons that were finished are kept; run this again to go on")
        raise
    if by is not None:
        show(catalog, rows, written)
        _tell_groups(rows)
        return
    count = len(catalog.normalizations(models or None))
    if count <= _MOST_SIDE_BY_SIDE:
        show(catalog, rows, written, "comparisons.matrices")
    else:
        show(catalog, rows, written, most=MOST_DRAWN)
    pairs = count * (count - 1) // 2 * len(set(measures) or {"rsa-spearman"})
    found = rows.shape[0]
    if found < pairs:
        tell(
            f"{pairs - found:,} of {pairs:,} comparisons are left out: the models share fewer than 4 "
            "classes, or are normalised in different ways (see --normalize)"
        )


@click.command()
@click.argument("model_a")
@click.argument("model_b")
@click.option("-k", type=int, help="How many classes.  [default: 20]")
@click.option(
    "--near",
    type=int,
    metavar="N",
    help="Neighbours that are held against each other.  [default: 10]",
)
@_permutations
@_seed
@_matching
@reading
def disagree(
    model_a: str,
    model_b: str,
    k: int | None,
    near: int | None,
    permutations: int | None,
    seed: int,
    normalize: Normalization | None,
    ancestors: bool,
    db: Path | None,
    **written: Any,
) -> None:
    """Show the classes whose relations to all others differ most between two models.

    A class's profile is its cosines with all other classes that both models have; the correlation is
    Spearman's, of the two profiles. A small p says that the profiles still have something in common, q
    is p adjusted over all classes. Gained are the near neighbours that only MODEL_B has, lost those
    that only MODEL_A has.

    \b
    Example:
      classrel disagree efficientnet_lite0 efficientnet_lite2 -k 20
    """
    drawn = 999 if permutations is None else permutations
    with open_catalog(db) as catalog:
        with watched() as progress:
            rows = catalog.disagree(
                model_a,
                model_b,
                k=k,
                near=near,
                permutations=drawn,
                seed=seed,
                normalize=normalize,
                ancestors=ancestors,
                progress=progress,
            )
        show(catalog, rows, written, "comparisons.disagreement")
        tell(
            f"seed {seed}, {drawn:,} permutations of the classes; a small p says that the two profiles still "
            "have something in common"
        )


@click.command()
@click.argument("query", metavar="CLASS")
@click.option(
    "--from", "model_a", required=True, metavar="MODEL", help="The model that CLASS is of."
)
@click.option("--to", "model_b", required=True, metavar="MODEL", help="The model to look in.")
@click.option("-k", type=int, help="How many classes.  [default: 10]")
@_matching
@reading
def counterpart(
    query: str,
    model_a: str,
    model_b: str,
    k: int | None,
    normalize: Normalization | None,
    ancestors: bool,
    db: Path | None,
    **written: Any,
) -> None:
    """Show which classes of another model play the part that CLASS plays in the first.

    The models may have other classes and other widths: every class is placed by its cosines with the
    classes that both have, the anchors. How often a shared class finds its own twin, when that is no
    anchor, says how far to trust the answer.

    \b
    Example:
      classrel counterpart 'Dungeness crab' --from efficientnet_lite0 --to efficientnet_lite2
    """
    with open_catalog(db) as catalog:
        rows = catalog.counterpart(
            query, model_a, model_b, k=k, normalize=normalize, ancestors=ancestors
        )
        show(catalog, rows, written, "comparisons.counterparts")


@click.command()
@click.argument("model", required=False)
@click.argument("tags", nargs=-1, metavar="[KEY=VALUE]...")
@reading
def tag(model: str | None, tags: tuple[str, ...], db: Path | None, **written: Any) -> None:
    """Say something of a model, to group models by; without KEY=VALUE, show what has been said.

    KEY= takes a tag back.

    \b
    Examples:
      classrel tag efficientnet_lite0 family=efficientnet year=2020
      classrel tag
      classrel compare --all --by family
    """
    values = {}
    for each in tags:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise click.UsageError(f"a tag is KEY=VALUE, not {each!r}")
        if key in values:
            raise click.UsageError(f"{key} is given twice")
        values[key] = value
    with open_catalog(db) as catalog:
        if model is not None and values:
            catalog.tag(model, **values)
        show(catalog, catalog.tags(model), written)


@click.command(name="map")
@click.argument("file", required=False, type=FILE)
@click.option("--clear", is_flag=True, help="Take the mapping away.")
@reading
def map_concepts(file: Path | None, clear: bool, db: Path | None, **written: Any) -> None:
    """Say which concepts of two label spaces are the same; without FILE, show what has been said.

    FILE is a csv with the columns concept_a and concept_b; it takes the place of an earlier one.
    concept_b is read as concept_a wherever models are compared.

    \b
    Examples:
      classrel map birds-to-imagenet.csv
      classrel map --clear
    """
    if file is not None and clear:
        raise click.UsageError("a file and --clear; give one of them")
    with open_catalog(db) as catalog:
        if file is not None or clear:
            count = catalog.map_concepts(file)
            tell(f"{count:,} pairs of concepts are the same" if count else "no mapping any more")
        if not clear:
            show(catalog, catalog.mapped_concepts(), written)


def _drawn_with(seed: int, rows: list[tuple[str, int, int]]) -> str:
    """One line on how what is random was drawn."""
    permuted = max((row[1] for row in rows), default=0)
    resampled = max((row[2] for row in rows), default=0)
    fewer = {
        f"{permutations:,} for {measure}"
        for measure, permutations, _ in rows
        if 0 < permutations < permuted
    }
    also = f" ({', '.join(sorted(fewer))})" if fewer else ""
    test = (
        "; p: is there more agreement than if the classes of these two heads were matched at random? null: "
        "what random heads of their shapes would give"
        if permuted
        else ""
    )
    return (
        f"seed {seed}; {permuted:,} permutations{also} and {resampled:,} bootstrap resamples of the "
        f"classes{test}"
    )


def _tell_means(catalog: Catalog, models: tuple[str, ...]) -> None:
    """What all heads of a width tend to, which is no agreement."""
    rows = catalog.query("model_summary", models=list(models)).project("model, mean, null_mean")
    means = ", ".join(
        f"{model} {mean:+.4f} (limit {limit:+.4f})"
        for model, mean, limit in rows.fetchall()
        if mean is not None
    )
    if means:
        tell(
            f"mean cosine of all classes, and its limit -1/(C-1) where all are equally unlike: {means}"
        )


def _tell_groups(rows: DuckDBPyRelation) -> None:
    (tried,) = next(
        (each,)
        for part, each in rows.project("part, permutations").fetchall()
        if part == "difference"
    )
    tell(
        "p is one-sided: do models of one group agree more than models of two? Of "
        f"{tried:,} groupings; models without the key are left out"
        + (f"; with so few, p is at least {1 / tried:.2f}" if tried < 20 else "")
    )


def _tell_ceiling(rows: list[tuple[str, str, str, float | None, float | None]]) -> None:
    for measure, space, way in dict.fromkeys(row[:3] for row in rows):
        known = [
            (low, high)
            for *of, low, high in rows
            if of == [measure, space, way] and low is not None and high is not None
        ]
        if known:
            low, high = (sum(each) / len(known) for each in zip(*known, strict=True))
            tell(
                f"{measure}: the noise ceiling of {space}, {way}, is {low:.4f} to {high:.4f}, over "
                f"{len(known)} models: lower, with the mean of the others; upper, with the mean of all"
            )
