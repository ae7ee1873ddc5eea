"""The part of a catalog that brings heads in, and says which there are to bring."""

from __future__ import annotations

import time
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any

from classrel_db.catalog.arguments import (
    memory_bytes,
    require_count,
    require_one_of,
    require_specs,
)
from classrel_db.catalog.opened import Opened
from classrel_db.errors import ArgumentError, MissingDatabaseError, OldSchemaError
from classrel_db.records import NORMALIZATIONS, PAIR_POLICIES, IngestOptions, KnownHead

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from duckdb import DuckDBPyRelation

    from classrel_db.catalog.planning import Planned
    from classrel_db.records import (
        Failed,
        Ingested,
        Normalization,
        PairPolicy,
        Progress,
        StoredModel,
        ZooEntry,
    )
    from classrel_db.sources import Located

_MOST_JOBS = 64


class Ingests(Opened):
    """Reads heads from zoos, files and addresses."""

    def ingest(
        self,
        *specs: str | os.PathLike[str],
        name: str | None = None,
        head: str | None = None,
        labels: str | os.PathLike[str] | None = None,
        normalize: Normalization = "standardize",
        pairs: PairPolicy = "auto",
        replace: bool = False,
        full: bool = False,
        exact: bool = False,
        memory: str | int | None = None,
        jobs: int = 1,
        scheduler: str | None = None,
        progress: Progress | None = None,
        done: Callable[[Ingested], None] | None = None,
        failed: Callable[[Failed], None] | None = None,
        starting: Callable[[DuckDBPyRelation], None] | None = None,
    ) -> list[Ingested]:
        """Read heads and store them, one transaction each.

        ``specs`` are names of the zoos (``efficientnet_lite0``, ``resnet50``,
        ``timm:convnext_base.fb_in22k_ft_in1k``) or patterns of them (``torchvision:resnet*``), models of the
        Hugging Face hub (``hf:google/vit-base-patch16-224``), files, or addresses of files
        (``https://…/model.safetensors``). ``head`` and ``labels`` are for files: which tensor, and a file
        of labels (txt, csv, json) or ``imagenet1k``. Only the head is read, unless ``full``: then the whole
        file is fetched and kept where its maker's library keeps it, and its hash checked where one is
        published.

        The neighbours of a head of up to 30,000 classes are exact. Beyond, they are searched approximately,
        and how many of the true ones were found is measured and stored (``recall``); ``exact`` holds every
        class against every other, however long it takes. ``memory`` bounds what one head of that size takes:
        ``"4GB"``, a number of bytes, or None for half of what is free.

        ``jobs`` heads (1 to 64) are read and computed at once: by threads, or where there is much to compute
        by processes, two for each core at most. They are stored in the order given with one, else as they
        get ready. With ``scheduler``, the address of a Dask scheduler (``tcp://head:8786``), its workers do
        that, as many at once as they have threads. They must see the folder of the database: in
        ``classrel.parts/`` beside it finished heads wait for this process, which stores them. After a run
        that ended early the same call goes on from there.

        ``progress`` is told of each step, ``done`` of each model that is stored, ``starting``, before
        several, of the plan (as of :meth:`plan`). With ``failed``, which is told of each model that can't be
        read or stored, the others go on; without it the first error is raised.
        While several are stored the file is held: what is told of them can't ask this catalog back.

        The same head again changes nothing (status ``unchanged``); one of a zoo, or one whose server marks
        its file's state by an ETag, is not even read. Raises SourceError, LabelError, WeightsError,
        ModelExistsError (another head under that name, without ``replace``), UnknownModelError for a name
        in no zoo, WorkerError for a head that a process died of, ClusterError, and DatabaseError; models
        stored before the one that failed stay, and of that one nothing is kept.
        """
        from classrel_db.catalog.ingest import Prepared, already_there, ingest_head
        from classrel_db.catalog.loading import load
        from classrel_db.catalog.planning import require_room

        require_count("jobs", jobs, 1, _MOST_JOBS)
        options = _options(head, labels, normalize, pairs, replace, full, exact, memory)
        self._require_writable()
        plan = self._plan(specs, name, options)
        tell = progress or (lambda _step: None)
        answers = []

        def stored(answer: Ingested) -> None:
            answers.append(answer)
            if done is not None:
                done(answer)

        if len(plan) > 1 or scheduler is not None:
            self._ingest_several(
                plan, options, tell, stored, failed, starting,
                number=jobs, scheduler=scheduler, memory=None if memory is None else options.memory,
            )  # fmt: skip
            return answers
        ((model, only),) = plan.items()
        self.close()
        if only.stands is not None:
            stored(already_there(only.stands))
            return answers
        require_room(plan, self.path)
        started = time.perf_counter()
        found = load(only.place, model, options, tell, only.known)
        if found is None:
            assert only.before is not None  # noqa: S101
            stored(already_there(only.before))
            return answers
        prepared = Prepared(found, model, options, self.path.parent)
        answer = ingest_head(self._database, self._indexes, prepared, options, tell)
        stored(replaced(answer, seconds=time.perf_counter() - started))
        return answers

    def plan(
        self,
        *specs: str | os.PathLike[str],
        name: str | None = None,
        head: str | None = None,
        labels: str | os.PathLike[str] | None = None,
        normalize: Normalization = "standardize",
        pairs: PairPolicy = "auto",
        replace: bool = False,
        full: bool = False,
        look: bool = False,
        failed: Callable[[Failed], None] | None = None,
    ) -> DuckDBPyRelation:
        """What :meth:`ingest` would do: a row for each model.

        Columns: model, spec, source, state (``stored``: nothing to do, ``local``, ``remote``), classes, dim,
        read_bytes and file_bytes (of which so many are read), disk_bytes (about what storing takes).
        Without a network, and NULL where it is known only when a file is opened; ``look`` opens those files,
        reads nothing of their heads, and tells ``failed`` of each that fails, or raises the first error
        without it. Raises as :meth:`ingest` for specs that can't be.
        """
        from classrel_db.catalog import loading
        from classrel_db.catalog.planning import columns
        from classrel_db.errors import ClassrelError
        from classrel_db.records import Failed
        from classrel_db.sources import describe
        from classrel_db.storage import arrays

        options = _options(head, labels, normalize, pairs, replace, full)

        def looked(model: str, place: Located) -> ZooEntry:
            try:
                return loading.look(place, options)
            except ClassrelError as error:
                if failed is None:
                    raise
                failed(Failed(place.spec, model, error))
                return describe(place)

        plan = self._plan(specs, name, options, looked if look else None)
        return arrays.table(columns(plan))

    def zoo(self, pattern: str | None = None) -> DuckDBPyRelation:
        """The models that can be ingested by their names, of every zoo that is installed.

        ``pattern`` is a part of the spec, in any case, or has ``*``, ``?``, ``[…]`` in it and fits all of
        the spec or its name. Columns: spec, source, classes, dim, head_bytes (what is read), file_bytes (of
        timm's an estimate from the model), cached (whether the file lies on this machine); NULL where it is
        not known beforehand. Raises MissingExtraError for a pattern that names a zoo that is not installed
        (``timm:*``); without one a ClassrelWarning tells what that zoo would have.
        """
        from classrel_db.catalog.planning import zoo_columns
        from classrel_db.storage import arrays

        if pattern is not None and not isinstance(pattern, str):
            raise ArgumentError(f"a pattern is text, not {pattern!r}")
        return arrays.table(zoo_columns(pattern))

    def _plan(
        self,
        specs: tuple[str | os.PathLike[str], ...],
        name: str | None,
        options: IngestOptions,
        look: Callable[[str, Located], ZooEntry] | None = None,
    ) -> dict[str, Planned]:
        from classrel_db.catalog.loading import located
        from classrel_db.catalog.planning import planned
        from classrel_db.sources import describe
        from classrel_db.storage import read

        places = located(require_specs(specs), name=name, options=options)
        stored = []
        if self._database.exists():
            try:
                stored = read.stored_models(self._database.reader())
            except (MissingDatabaseError, OldSchemaError):
                stored = []  # which writing will put right
        entries = {
            model: (place, describe(place) if look is None else look(model, place))
            for model, place in places.items()
        }

        def known_head(model: StoredModel) -> KnownHead:
            found = read.stored_classes(self._database.reader(), [model.model_id])
            labels, concepts = zip(*((each.label, each.concept) for each in found), strict=True)
            return KnownHead(model.etag or "", model.head_key, labels, concepts)

        return planned(entries, {model.name: model for model in stored}, options, known_head)

    def _ingest_several(
        self,
        plan: dict[str, Planned],
        options: IngestOptions,
        tell: Progress,
        done: Callable[[Ingested], None],
        failed: Callable[[Failed], None] | None,
        starting: Callable[[DuckDBPyRelation], None] | None,
        **crew: Any,
    ) -> None:
        from contextlib import closing

        from classrel_db.catalog.batch import Batch, Job
        from classrel_db.catalog.crews import at_work
        from classrel_db.catalog.ingest import already_there
        from classrel_db.catalog.planning import columns, require_room
        from classrel_db.catalog.work import task_of
        from classrel_db.records import Ingested
        from classrel_db.storage import arrays

        if starting is not None and len(plan) > 1:
            starting(arrays.table(columns(plan)))
        require_room(plan, self.path)
        self.close()
        jobs = []
        for model, each in plan.items():
            if each.stands is not None:
                done(already_there(each.stands))
            else:
                jobs.append(Job(model, each, task_of(model, each, options)))
        if not jobs:
            return
        with at_work(self.path, jobs, options, tell, **crew) as (hands, spool):
            batch = Batch(self._database, self._indexes, options, tell, hands, spool)
            with closing(batch.run(jobs)) as outcomes:
                for outcome in outcomes:
                    if isinstance(outcome, Ingested):
                        done(outcome)
                    elif failed is not None:
                        failed(outcome)
                    else:
                        raise outcome.error


def _options(
    head: str | None,
    labels: str | os.PathLike[str] | None,
    normalize: Normalization,
    pairs: PairPolicy,
    replace: bool,
    full: bool,
    exact: bool = False,
    memory: str | int | None = None,
) -> IngestOptions:
    require_one_of("normalize", normalize, NORMALIZATIONS)
    require_one_of("pairs", pairs, PAIR_POLICIES)
    room = memory_bytes(memory)
    return IngestOptions(head, labels, normalize, pairs, replace, full, exact, room)
