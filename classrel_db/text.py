"""Text for people, without rich: what the lightest commands need."""

from __future__ import annotations

from math import floor

# Controls and the marks that turn the direction of the text after them: shown, never sent.
_UNSAFE = {
    *range(0x20),
    *range(0x7F, 0xA0),
    0x2028,
    0x2029,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
}
_ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in _UNSAFE}

_SINGLE = 2.0**-22  # that much a cosine in single precision leaves open anyway


def printable(text: object) -> str:
    """``text`` with everything that could steer a terminal written out."""
    return str(text).translate(_ESCAPES)


def printable_lines(text: str) -> str:
    """The same line by line, for a message of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def rounded_to(dtype: str, cosine_error: float) -> str:
    """What weights were stored as, and what that leaves open of their cosines: never less than it does."""
    if cosine_error <= _SINGLE:
        return dtype
    from decimal import ROUND_CEILING, Context

    bound = Context(prec=2, rounding=ROUND_CEILING).create_decimal(str(cosine_error))
    return f"{dtype}: cosines are known to within {bound:f}"


def searched(recall: float, low: float, of_all: float) -> str:
    """How many of the true neighbours an approximate search has found: never more than it did."""
    ten, least, every = (floor(share * 1000) / 10 for share in (recall, low, of_all))
    return (
        f"neighbours approximate: {ten} % of the 10 nearest of a class (95 % interval from {least} %), "
        f"{every} % of all that are stored"
    )


def megabytes(count: float) -> str:
    """A number of bytes as megabytes, 10⁶ bytes each; kilobytes where it is small, gigabytes where large."""
    if count >= 1e10:
        return f"{count / 1e9:,.1f} GB"
    if count < 100:
        return f"{count:.0f} bytes"
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def shown_url(url: str) -> str:
    """``url`` as it may be shown and stored: without user, password, query and fragment."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
