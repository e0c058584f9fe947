"""The download of one file: resumed, retried, checked, and under its name only when it is whole."""

from __future__ import annotations

import logging
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
import tqdm
import urllib3

from kerasbert.hub.errors import DownloadError, HashMismatchError, PageInsteadOfFileError
from kerasbert.hub.partial import PartialFile, difference, locked, write_all, writing
from kerasbert.hub.responses import (
    Transient,
    cause_of,
    judge,
    looks_like_page,
    must_restart,
    page_error,
    refuse_other_content,
    validator_of,
)

logger = logging.getLogger(__name__)

_CHUNK = 2**16  # a stall loses what came of the last one
_PROGRESS = 2**20  # bytes that count as getting on, or a hundredth of the file
_MAX_WAIT = 60.0  # between two attempts of ours
_MAX_ASKED_WAIT = 300.0  # that a server may ask for
_HEADERS = {"User-Agent": "kerasbert", "Accept-Encoding": "identity"}
# Errors of requests that no second attempt mends.
_FINAL = (
    requests.exceptions.InvalidHeader,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.SSLError,
    requests.exceptions.TooManyRedirects,
)


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    sha256: str | None = None,
    md5: str | None = None,
    retries: int = 5,
    wait: float = 1.0,
    timeout: tuple[float, float] = (10.0, 30.0),
    progress: bool | None = None,
    beyond_page: Callable[[str, str], str | None] | None = None,
) -> Path:
    """Downloads a file over HTTP.

    What has come is kept as ``<path>.part`` until it is whole, so that a later call goes on where
    this one ended, by Ctrl-C as well; the server is asked whether its file is still the same. A
    second process that wants the same file waits for the first.

    Args:
        url: ``http://`` or ``https://``. The proxies of the environment are used.
        path: the file to write; its folder is made. A file that is there and as expected is kept.
        size: bytes, where known.
        sha256: hexadecimal, where known.
        md5: hexadecimal, where known.
        retries: attempts in a row that may bring nothing new.
        wait: seconds before the second attempt; doubled each time, to at most a minute. A server
            that says how long to wait is heeded up to five minutes.
        timeout: seconds to connect, and without a byte.
        progress: whether to show a bar; None shows it on a terminal.
        beyond_page: given a page that came instead of the file and its address, the address of
            the file behind it, or None.

    Returns:
        ``path``.

    Raises:
        HashMismatchError: the file is another one; it is deleted.
        PageInsteadOfFileError: a page came, such as a login or one on an exceeded quota.
        DownloadError: the address gives no file, or too many attempts failed, or the disk is full
            or may not be written.
    """
    target = Path(path)
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"an address begins with https:// or http://. Received: {url!r}")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    job = _Job(url, target, size, sha256, md5, timeout, progress, beyond_page)
    with locked(target):
        if target.is_file() and difference(target, size, sha256, md5) is None:
            return target
        was_there = job.part.size > 0
        job.run(retries, wait)
        problem = difference(job.part.path, size, sha256, md5)
        if problem and was_there:  # perhaps the old beginning was of another file
            logger.info("%s: %s; once more from the beginning", target.name, problem)
            job.part.discard()
            job.run(retries, wait)
            problem = difference(job.part.path, size, sha256, md5)
        if problem:
            job.part.discard()
            raise HashMismatchError(
                f"what {url} gives is not the expected {target.name}: {problem}. It was deleted."
            )
        with writing(target):
            job.part.finish()
    return target


@dataclass
class _Job:
    """One file, over as many attempts as it takes."""

    url: str
    target: Path
    size: int | None
    sha256: str | None
    md5: str | None
    timeout: tuple[float, float]
    progress: bool | None
    beyond_page: Callable[[str, str], str | None] | None

    def __post_init__(self):
        self.part = PartialFile(self.target)

    def run(self, retries: int, wait: float) -> None:
        """Attempts until the file is whole."""
        failures, furthest = 0, self.part.size
        with requests.Session() as session:
            session.headers.update(_HEADERS)
            while True:
                try:
                    return self._attempt(session, self.url)
                except Transient as error:
                    problem = error
                if must_restart(problem):
                    self.part.discard()
                # Only what counts: a server that gives a byte at a time must not go on for ever.
                gained = self.part.size - furthest
                enough = gained >= _PROGRESS or gained * 100 >= max(self.part.size, 1)
                failures = 0 if gained > 0 and enough else failures + 1
                furthest = max(furthest, self.part.size)
                if failures > retries:
                    if self._is_right():  # whatever length the server claims
                        return None
                    kept = f" {self.part.size:,} bytes are kept for the next time."
                    raise DownloadError(
                        f"{self.url}: {problem}; given up after {retries + 1} attempts."
                        + (kept if self.part.size else "")
                    ) from problem
                self._pause(problem, wait, failures)

    def _is_right(self) -> bool:
        if not self.part.size or not (self.sha256 or self.md5):
            return False
        return difference(self.part.path, self.size, self.sha256, self.md5) is None

    def _pause(self, problem: Transient, wait: float, failures: int) -> None:
        asked = problem.wait
        if asked is not None and asked > _MAX_ASKED_WAIT:
            raise DownloadError(
                f"{self.url}: {problem}, and asks to wait for {asked:,.0f} seconds. Try again then."
            ) from problem
        seconds = min(wait * 2 ** max(failures - 1, 0), _MAX_WAIT) * random.uniform(0.8, 1.2)
        seconds = seconds if asked is None else max(asked, 0.0)
        logger.warning(
            "%s: %s; again in %.1f s, from byte %d",
            *(self.target.name, problem, seconds, self.part.size),
        )
        time.sleep(seconds)

    def _attempt(self, session: requests.Session, url: str, is_second: bool = False) -> None:
        offset, headers = self._resuming()
        try:
            response = session.get(url, headers=headers, stream=True, timeout=self.timeout)
        except _FINAL as error:
            raise DownloadError(f"{url}: {error}") from error
        except requests.RequestException as error:
            raise Transient(cause_of(error)) from error
        with response:
            try:
                self._receive(response, offset)
            except PageInsteadOfFileError as error:
                beyond = self.beyond_page and self.beyond_page(error.page, response.url)
                if not beyond or is_second:
                    raise PageInsteadOfFileError(f"{self.url}: {error}", error.page) from error
            except DownloadError as error:
                if error.errno is not None:  # of the disk, not of the address
                    raise
                raise DownloadError(f"{self.url}: {error}") from error
            else:
                return
        self._attempt(session, beyond, is_second=True)

    def _resuming(self) -> tuple[int, dict[str, str]]:
        """Where to go on, and the headers that ask for it."""
        offset = self.part.size
        validator = self.part.validator(self.url)
        if offset and validator is None and not (self.sha256 or self.md5):
            self.part.discard()  # whose bytes these are cannot be told, now or at the end
            offset = 0
        if not offset:
            return 0, {}
        headers = {"Range": f"bytes={offset}-"}
        if validator:
            headers["If-Range"] = validator
        return offset, headers

    def _receive(self, response: requests.Response, offset: int) -> None:
        body = judge(response, offset, self.target.name)
        if body.whole:
            return
        if body.start:
            refuse_other_content(self.part.validator(self.url), response)
        elif offset:
            logger.info("%s: the server begins anew instead of going on", self.target.name)
        if self.size is not None and body.total is not None and body.total != self.size:
            raise DownloadError(f"the server's file has {body.total:,} bytes, not {self.size:,}")
        with writing(self.target):
            self._check_room(body.total, body.start)
            self.part.write_state(self.url, validator_of(response))
            file = self.part.path.open("r+b" if body.start else "wb", buffering=0)
        bar = tqdm.tqdm(
            desc=self.target.name,
            total=body.total,
            initial=body.start,
            unit="B",
            unit_scale=True,
            disable=None if self.progress is None else not self.progress,
        )
        with file, bar:
            file.seek(body.start)
            file.truncate()
            for chunk in self._chunks(response, body.start):
                with writing(self.target):
                    write_all(file, chunk)
                bar.update(len(chunk))
        here = self.part.size
        if body.total is not None and here < body.total:
            raise Transient(f"the connection ended after {here:,} of {body.total:,} bytes")

    def _chunks(self, response: requests.Response, start: int) -> Iterator[bytes]:
        """The bytes as they come over the wire, with every failure made a ``Transient``."""
        received, limit = start, self.size
        while True:
            try:
                chunk = response.raw.read(_CHUNK, decode_content=False)
            except urllib3.exceptions.ReadTimeoutError as error:
                raise Transient(f"no byte came for {self.timeout[1]:g} seconds") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Transient(f"the connection broke off ({cause_of(error)})") from error
            if not chunk:
                return
            is_page = self.target.name.endswith((".html", ".htm"))
            if received == 0 and not is_page and looks_like_page(chunk):
                self.part.discard()
                raise page_error(chunk)
            received += len(chunk)
            if limit is not None and received > limit:
                raise DownloadError(f"more than the expected {limit:,} bytes came")
            yield chunk

    def _check_room(self, total: int | None, start: int) -> None:
        if total is None:
            return
        free = shutil.disk_usage(self.target.parent).free
        if free < total - start:
            raise DownloadError(
                f"{total - start:,} bytes are to come, and {self.target.parent} has room for "
                f"{free:,}. Make room, or set KERASBERT_HOME to a larger disk."
            )
