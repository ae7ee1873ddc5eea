"""Files in object stores and behind other protocols than HTTP: what fsspec knows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from classrel_db.errors import MissingExtraError, SourceError
from classrel_db.sources.transport import reason_of
from classrel_db.spelling import quoted
from classrel_db.text import shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from classrel_db.sources.transport import Arrived

_PORTION = 1 << 22  # bytes between two reports


class Store:
    """A file in whatever else fsspec knows: object stores, other protocols."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.first = b""
        self.whole_only = False
        self._url = url
        self._shown = quoted(shown_url(url), 300)
        try:
            self._files, self._path = fsspec.core.url_to_fs(url)
            self.size: int | None = int(self._files.info(self._path)["size"])
            self.etag: str | None = str(self._files.ukey(self._path))
        except ImportError as error:
            raise MissingExtraError(
                f"can't read {self._shown}: {error}; install that package beside classrel"
            ) from error
        except (ValueError, TypeError, AttributeError) as error:  # more than an address is needed
            raise SourceError(
                f"can't read {self._shown}: {self._reason(error)}; addresses begin with https://, s3://, "
                f"gs:// or another protocol of fsspec that needs nothing else"
            ) from error
        except store_errors() as error:
            raise self._unreadable(error) from error

    def fetch(self, start: int, into: memoryview, arrived: Arrived) -> None:
        done = 0
        for portion in self._portions(start, len(into)):
            into[done : done + len(portion)] = portion
            done += len(portion)
            arrived(len(portion))

    def fetch_whole(self, target: BinaryIO, arrived: Arrived) -> None:
        for portion in self._portions(0, self.size or 0):
            target.write(portion)
            arrived(len(portion))

    def _portions(self, start: int, length: int) -> Iterator[bytes]:
        try:
            for at in range(start, start + length, _PORTION):
                stop = min(at + _PORTION, start + length)
                portion = self._files.cat_file(self._path, start=at, end=stop)
                if len(portion) != stop - at:
                    raise SourceError(f"{self._shown} ends before byte {stop:,}; get it again")
                yield portion
            if str(self._files.ukey(self._path)) != self.etag:
                raise SourceError(
                    f"{self._shown} changed while it was read; nothing of it is kept, run this again"
                )
        except store_errors() as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> SourceError:
        return SourceError(
            f"can't read {self._shown}: {self._reason(error)}; check the address and your access to it"
        )

    def _reason(self, error: Exception) -> str:
        """What a library says, without what may be a secret of the address."""
        text, parts = reason_of(error), urlsplit(self._url)
        for secret in (
            parts.netloc.rpartition("@")[0],
            parts.password,
            parts.query,
            parts.fragment,
        ):
            if secret:
                text = text.replace(secret, "…").replace(unquote(secret), "…")
        return text


def store_errors() -> tuple[type[Exception], ...]:
    """What the file systems of fsspec raise; some let their own library's errors through."""
    found: list[type[Exception]] = [OSError]
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return tuple(found)
    return (*found, BotoCoreError, ClientError)
