"""Files in repositories of the Hugging Face Hub: from its cache, fetched whole, or read in ranges.

Where the Hub is, which token it gets and where its cache lies is what huggingface_hub is set to
(HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HUB_OFFLINE and what ``hf auth login`` kept).
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from classrel_db.errors import MissingExtraError, SourceError
from classrel_db.sources.counted import open_counted
from classrel_db.sources.formats.sharded import INDEX, shards_of
from classrel_db.sources.tries import BUSY, TRIES_TO_CONNECT, Again, retry_after, wait_after
from classrel_db.spelling import quoted
from classrel_db.text import shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classrel_db.sources.counted import CountingFile
    from classrel_db.sources.protocol import ReadProgress

MAIN = "main"
WEIGHTS = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
"""The files of weights by the names that every library of the Hub writes, the best first."""

_OURS: ContextVar[bool] = ContextVar("_OURS", default=False)  # whether it is we who call the Hub


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository, at a branch, a tag or a commit."""

    name: str
    revision: str = MAIN

    @property
    def shown(self) -> str:
        at = "" if self.revision == MAIN else f"@{self.revision}"
        return quoted(f"{self.name}{at}", 300)

    def address(self, file: str) -> str:
        """Where ``file`` lies."""
        from huggingface_hub import hf_hub_url

        return str(hf_hub_url(self.name, file, revision=self.revision))

    def shown_address(self, file: str) -> str:
        """The same as it may be shown and stored."""
        return shown_url(self.address(file))


@dataclass(frozen=True, slots=True)
class HubFile:
    """An open file of a repository, its name, and the commit that it is of."""

    file: CountingFile
    path: PurePath
    commit: str


def require_hub() -> None:
    """Raise MissingExtraError without huggingface_hub."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            'models of the Hugging Face Hub need huggingface_hub; pip install "classrel-db[hub]" '
            "brings it"
        ) from error


def cached_file(repository: Repository, file: str) -> Path | None:
    """Where ``file`` lies in the Hub's cache, if it is there whole, with all that it names."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository.name, file, revision=repository.revision)
    if not isinstance(found, str):
        return None
    path = Path(found)
    if file.endswith(INDEX):
        try:
            with open_counted(path) as index:
                shards = set(shards_of(index).values())
        except SourceError:  # damaged, and as good as not there
            return None
        if not all((path.parent / shard).exists() for shard in shards):
            return None
    return path


def cached_weights(repository: Repository) -> Path | None:
    """Where the weights lie in the Hub's cache, if they are there."""
    return next(filter(None, (cached_file(repository, file) for file in WEIGHTS)), None)


def fetch(
    repository: Repository, file: str, progress: ReadProgress | None = None, *, bar: bool = False
) -> Path | None:
    """Where ``file`` lies in the Hub's cache, got first if need be; None where there is no such file.

    With ``bar``, ``progress`` is told of its bytes. Raises SourceError where it can't be had.
    """
    from huggingface_hub import hf_hub_download

    # the download tries longer to connect than a missing network is worth
    if _commit_of_remote(repository, file, progress) is None:
        return None
    with _explained(repository):
        path = hf_hub_download(
            repository.name,
            file,
            revision=repository.revision,
            tqdm_class=_bar(progress if bar else None),
        )
    return Path(path)


def open_weights(
    repository: Repository, progress: ReadProgress | None = None, *, full: bool = False
) -> HubFile:
    """Open the weights in ``repository``: in the cache if they are there, else for reading in ranges.

    ``full`` fetches them whole into the cache. Raises SourceError where there are none.
    """
    path = cached_weights(repository)
    if path is not None:
        return HubFile(open_counted(path, progress), path, commit_of(path))
    for file in WEIGHTS:
        opened = (_open_fetched if full else _open_remote)(repository, file, progress)
        if opened is not None:
            return opened
    raise SourceError(
        f"{repository.shown} on the Hugging Face Hub has none of {', '.join(WEIGHTS)}; if its weights "
        f"have another name, give the address of that file"
    )


def commit_of(path: Path) -> str:
    """The commit that a file in the Hub's cache is of: its folder is named so."""
    return path.parent.name


def _open_fetched(
    repository: Repository, file: str, progress: ReadProgress | None
) -> HubFile | None:
    path = fetch(repository, file, progress, bar=True)
    if path is None:
        return None
    if file.endswith(INDEX):
        at_commit = Repository(repository.name, commit_of(path))
        with open_counted(path) as index:
            shards = set(shards_of(index).values())
        for shard in shards:
            if fetch(at_commit, shard, progress, bar=True) is None:
                raise SourceError(f"{repository.shown} names {quoted(shard)}, which is not there")
    return HubFile(open_counted(path, progress), path, commit_of(path))


def _open_remote(
    repository: Repository, file: str, progress: ReadProgress | None
) -> HubFile | None:
    from huggingface_hub import utils

    from classrel_db.sources.remote import open_remote

    commit = _commit_of_remote(repository, file, progress)
    if commit is None:
        return None
    address = Repository(repository.name, commit).address(file)
    headers = utils.build_hf_headers()  # type: ignore[attr-defined]
    opened = open_remote(address, progress, headers=headers)
    return HubFile(opened, PurePath(file), commit)


def _commit_of_remote(
    repository: Repository, file: str, progress: ReadProgress | None
) -> str | None:
    """The commit at which ``file`` is on the Hub now; None where there is no such file.

    Raises SourceError where that can't be learnt, after as many tries as a plain address gets.
    """
    import httpx
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import RemoteEntryNotFoundError

    def alive() -> None:
        if progress is not None:
            progress(0, 0)

    tries = 0
    while True:
        tries += 1
        with _explained(repository):
            try:
                known = get_hf_file_metadata(repository.address(file))
                break
            except RemoteEntryNotFoundError:
                return None
            except httpx.HTTPError as error:
                again = _again(error)
                if again is None or tries >= again.tries:
                    raise
        wait_after(tries, again, alive)
    if known.commit_hash is None:
        raise SourceError(
            f"{quoted(repository.shown_address(file), 300)} is no file of a Hugging Face Hub: the server "
            f"names no commit; is HF_ENDPOINT right?"
        )
    return known.commit_hash


def _again(error: Exception) -> Again | None:
    """Whether another try may help, and when."""
    import httpx

    response = getattr(error, "response", None)
    if response is not None:
        pause = retry_after(response.headers.get("Retry-After", ""))
        return Again(str(error), pause) if response.status_code in BUSY else None
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Again(str(error), tries=TRIES_TO_CONNECT)
    broken = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
    return Again(str(error)) if isinstance(error, broken) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what huggingface_hub says of its tries from the terminal, of the calls of this thread."""
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_is_said)
    ours = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(ours)


def _is_said(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or not _OURS.get()


def _bar(progress: ReadProgress | None) -> Any:
    """What huggingface_hub takes for its class of progress bars; it draws none, and tells ``progress``."""

    class Bar:
        def __init__(self, *, total: float | None = None, initial: float = 0, **_: Any) -> None:
            self.total = int(total or 0)
            self.done = int(initial)

        def update(self, count: float | None = 1) -> None:
            self.done += int(count or 0)
            if progress is not None:
                progress(self.done, self.total, "download")

        def set_postfix_str(self, *_: Any, **__: Any) -> None: ...

        def close(self) -> None: ...

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Bar


@contextmanager
def _explained(repository: Repository) -> Iterator[None]:
    """Turn what huggingface_hub raises into a SourceError that says what helps."""
    import httpx
    from huggingface_hub import errors

    shown = f"{repository.shown} on the Hugging Face Hub"
    try:
        with _quiet():
            yield
    except errors.GatedRepoError as error:
        raise SourceError(
            f"{shown} is gated: accept its conditions on {_page(repository)}, then `hf auth login` or set "
            f"HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise SourceError(
            f"there is no model {shown}, or it is private: check the name, or `hf auth login` or set "
            f"HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SourceError(
            f"{quoted(repository.name)} on the Hugging Face Hub has no revision "
            f"{quoted(repository.revision)}; give a branch, a tag or a commit, as in "
            f"hf:{repository.name}@{MAIN}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise _out_of_reach(shown, error.__cause__ or error) from error
    except (httpx.HTTPError, errors.OfflineModeIsEnabled, RuntimeError) as error:  # the last: xet's
        raise _out_of_reach(shown, error) from error
    except OSError as error:
        raise SourceError(f"can't keep {shown} in its cache: {error.strerror or error}") from error


def _out_of_reach(shown: str, error: BaseException) -> SourceError:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return SourceError(
            f"{shown} is not in the cache, and HF_HUB_OFFLINE allows no network; unset it, or fetch the "
            f"model where there is one"
        )
    response = getattr(error, "response", None)
    if response is not None:
        status = response.status_code
        if status in {401, 403}:
            return SourceError(
                f"{shown} may not be read (the server answers {status}): `hf auth login` or set HF_TOKEN, "
                f"with a token that has access"
            )
        reason = f"the server answers {status} {response.reason_phrase}".rstrip()
    else:
        reason = " ".join(str(error).split()) or type(error).__name__
    return SourceError(
        f"can't read {shown}: {reason}; is there a network? Try again later, or get the file by other "
        f"means and give its path"
    )


def _page(repository: Repository) -> str:
    from huggingface_hub import constants

    return shown_url(f"{constants.ENDPOINT}/{repository.name}")
