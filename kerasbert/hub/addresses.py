"""What to ask for at an address: mirrors, and the pages that Google Drive puts before a file."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from kerasbert.hub.registry import Address

DRIVE_DOWNLOAD = "https://drive.usercontent.google.com/download"
DRIVE_HOSTS = ("drive.usercontent.google.com", "drive.google.com", "docs.google.com")
_DRIVE_ID = re.compile(r"/file/d/([\w-]+)|[?&]id=([\w-]+)")


def urls_of(address: Address) -> list[str]:
    """The web addresses to try for a "direct" or "drive" address, mirrors first.

    Raises:
        ValueError: ``KERASBERT_MIRROR`` holds something that is no address.
    """
    if address.kind == "drive":
        match = _DRIVE_ID.search(address.url)
        query = {"id": match[1] or match[2], "export": "download", "confirm": "t"}
        return [f"{DRIVE_DOWNLOAD}?{urlencode(query)}"]
    return [*mirrors_of(address.url), address.url]


def mirrors_of(url: str) -> list[str]:
    """The addresses that ``KERASBERT_MIRROR`` puts before ``url``.

    The variable holds one or more base addresses, separated by white space or commas. Below a base
    a file lies by host and path: with ``https://mirror.example/models``,
    ``https://storage.googleapis.com/a/b.zip`` is asked for at
    ``https://mirror.example/models/storage.googleapis.com/a/b.zip``. A base for one host alone,
    written ``storage.googleapis.com=https://mirror.example/gcs``, stands for that host:
    ``https://mirror.example/gcs/a/b.zip``.
    """
    parts = urlsplit(url)
    found = []
    for entry in re.split(r"[\s,]+", os.environ.get("KERASBERT_MIRROR", "").strip()):
        if not entry:
            continue
        host, separator, base = entry.partition("=")
        if not separator or "://" in host:
            host, base = "", entry
        if urlsplit(base).scheme not in ("http", "https"):
            raise ValueError(
                f"KERASBERT_MIRROR holds {entry!r}. Give base addresses such as "
                "https://mirror.example/models, or host=https://mirror.example/path."
            )
        if host and host.casefold() != parts.netloc.casefold():
            continue
        below = parts.path if host else f"/{parts.netloc}{parts.path}"
        query = f"?{parts.query}" if parts.query else ""
        found.append(base.rstrip("/") + below + query)
    return found


def beyond_drive_page(page: str, url: str) -> str | None:
    """The address behind Google Drive's question whether a large file shall come unscanned.

    Args:
        page: the HTML that came.
        url: where it came from.

    Returns:
        None when the page is another one, such as that on an exceeded quota.
    """
    form = _DownloadForm()
    form.feed(page)
    if form.action is None:
        return None
    parts = urlsplit(urljoin(url, form.action))
    # Never sent elsewhere, or without encryption, by what a page says.
    if parts.hostname not in DRIVE_HOSTS or parts.scheme != urlsplit(url).scheme:
        return None
    query = {**dict(parse_qsl(parts.query)), **form.fields}
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


class _DownloadForm(HTMLParser):
    """Reads the action and the hidden fields of Drive's form."""

    def __init__(self):
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and given.get("id") == "download-form":
            self.action = given.get("action")
        elif tag == "input" and given.get("type") == "hidden" and self.action is not None:
            self.fields[given.get("name") or ""] = given.get("value") or ""


def title_of(page: str) -> str:
    """The title of a page in HTML, in short; empty when it has none."""
    match = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    return " ".join(match[1].split())[:120] if match else ""
