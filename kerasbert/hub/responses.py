"""What a server's answer means for a download: the file, the rest of it, later, or never."""

from __future__ import annotations

import datetime
import email.utils
import re
from dataclasses import dataclass

import requests
import urllib3

from kerasbert.hub.addresses import title_of
from kerasbert.hub.errors import DownloadError, PageInsteadOfFileError

MAX_PAGE = 256 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_REASONS = {
    401: "the server wants a login",
    402: "the server wants payment",
    403: "the server refuses access (a login, a region, or a share that has ended)",
    404: "there is no such file any more",
    407: "the proxy wants a login: put it into HTTPS_PROXY",
    410: "there is no such file any more",
    451: "the server refuses access for legal reasons",
}


class Transient(Exception):
    """An attempt failed; a later one may not.

    Attributes:
        wait: seconds that the server asks to wait; None where it says nothing.
    """

    def __init__(self, message: str, wait: float | None = None):
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Body:
    """What follows in an answer.

    Attributes:
        start: the offset in the file of its first byte.
        total: the size of the whole file; None when the server does not say.
        whole: nothing follows: what is there is already the whole file.
    """

    start: int
    total: int | None
    whole: bool = False


def judge(response, offset: int, name: str) -> Body:
    """What an answer holds.

    Args:
        response: of ``requests``, not yet read.
        offset: of the byte that was asked for.
        name: of the file, which tells a page from a file.

    Raises:
        Transient: another attempt may succeed.
        PageInsteadOfFileError: a page where a file was expected.
        DownloadError: this address will not give the file.
    """
    _refuse_downgrade(response)
    status = response.status_code
    if status == 416:
        return _unsatisfiable(response, offset)
    if status in _RETRIED:
        wait = retry_after(response.headers.get("Retry-After"))
        raise Transient(f"the server answers {status} {response.reason or ''}".rstrip(), wait)
    if status not in (200, 206):
        reason = _REASONS.get(status, response.reason or "an answer that no download has")
        raise DownloadError(f"{status}: {reason}")
    is_html = "html" in response.headers.get("Content-Type", "").lower()
    if is_html and not name.endswith((".html", ".htm")):
        raise page_error(_beginning(response))
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("", "identity") and not name.lower().endswith((".gz", ".tgz")):
        raise DownloadError(f"the server compressed the file ({encoding}) though asked not to")
    if status == 200:
        return Body(0, _length(response))
    match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != offset:
        given = response.headers.get("Content-Range")
        raise _Restart(f"asked for bytes from {offset:,}, the server sent {given!r}")
    length = _length(response)
    total = int(match[3]) if match[3] != "*" else length and offset + length
    return Body(offset, total)


class _Restart(Transient):
    """What is there cannot be continued."""


def must_restart(problem: Transient) -> bool:
    """Whether the bytes that are there are of no use to the next attempt."""
    return isinstance(problem, _Restart)


def page_error(content: bytes) -> PageInsteadOfFileError:
    """The error for a page, with its title, which usually says why it came."""
    page = content[:MAX_PAGE].decode("utf-8", "replace")
    title = title_of(page)
    said = f" titled {title!r}" if title else ""
    return PageInsteadOfFileError(
        f"a page{said} came instead of the file: a login, an exceeded quota, or an address that "
        "is no more",
        page,
    )


def looks_like_page(beginning: bytes) -> bool:
    """Whether the first bytes are those of an HTML page, whatever the server calls it."""
    text = beginning[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html"))


def retry_after(value: str | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date."""
    value = (value or "").strip()
    if value.isdecimal():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.timezone.utc)
    now = datetime.datetime.now(datetime.timezone.utc)
    return max(0.0, (date - now).total_seconds())


def validator_of(response) -> str | None:
    """A mark that changes with the content: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified") or None


def refuse_other_content(expected: str | None, response) -> None:
    """For servers that send a range of whatever they have now, without regard for ``If-Range``."""
    found = validator_of(response)
    if expected and found and expected != found:
        raise _Restart("the server's file is another one than the part that is here")


def cause_of(error: BaseException) -> str:
    """The innermost reason: requests and urllib3 wrap it several times."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "no answer in time"
    inner = error
    while True:
        reason = getattr(inner, "reason", None)
        further = reason if isinstance(reason, BaseException) else inner.__cause__
        further = further or next((a for a in inner.args if isinstance(a, BaseException)), None)
        if further is None:
            break
        inner = further
    return str(inner) or type(inner).__name__


def _unsatisfiable(response, offset: int) -> Body:
    """416: nothing lies behind ``offset``, because that is the end or because the file changed."""
    match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", "").strip())
    if match and int(match[1]) == offset:
        return Body(offset, offset, whole=True)
    raise _Restart("the server's file is another one than the part that is here")


def _beginning(response) -> bytes:
    """Of a page, decoded: it is for a person's eyes."""
    try:
        return response.raw.read(MAX_PAGE, decode_content=True) or b""
    except (urllib3.exceptions.HTTPError, OSError):
        return b""


def _length(response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdecimal() else None


def _refuse_downgrade(response) -> None:
    steps = [*response.history, response]
    if steps[0].url.startswith("https:") and any(step.url.startswith("http:") for step in steps):
        raise DownloadError(f"it is sent on to {response.url}, which is not encrypted")
