"""How a release and its addresses are written down, for ``hub_additions.py``."""

from __future__ import annotations

from typing import Any


def drive(identity: str) -> dict[str, str]:
    """A file on Google Drive."""
    return {"kind": "drive", "url": f"https://drive.google.com/file/d/{identity}/view"}


def baidu(identity: str, code: str) -> dict[str, str]:
    """A share on Baidu's disk; its browser client is needed."""
    return {"kind": "share", "url": f"https://pan.baidu.com/s/{identity}", "code": code}


def page(url: str) -> dict[str, str]:
    """A page on which a person finds the file."""
    return {"kind": "page", "url": url}


def direct(url: str) -> dict[str, str]:
    """A plain download."""
    return {"kind": "direct", "url": url}


def release(
    name: str,
    published: str | list[str],
    family: str,
    language: str,
    citation: str,
    aliases: str = "",
    huggingface: str | None = None,
    addresses: list[dict[str, str]] = (),
    **further: Any,
) -> dict[str, Any]:
    """One entry.

    Args:
        name: canonical: lower case, the folder's name in the cache.
        published: the recorded facts' names, the one whose archive is preferred first.
        family: the value of ``model=``.
        language: "en", "zh" or "multilingual".
        citation: a key of ``CITATIONS``.
        aliases: further names, separated by white space.
        huggingface: the publisher's own repository of the same weights.
        addresses: of the archive, after those that are recorded.
        **further: ``options``, ``notes``, ``head_warnings``, ``title``, ``archive`` (its name where
            the recorded one is none), ``shares_archive_of`` (another entry), ``huggingface_first``,
            ``generator`` (of an ELECTRA pair), ``no_aliases`` (names that belong to another entry).
    """
    return {
        "name": name,
        "published": [published] if isinstance(published, str) else list(published),
        "family": family,
        "language": language,
        "citation": citation,
        "aliases": aliases.split(),
        "huggingface": huggingface,
        "addresses": list(addresses),
        **further,
    }
