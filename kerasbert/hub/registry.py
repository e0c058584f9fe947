"""The published models that are known by name: what they are, where they lie, what they are under.

The data file ``models.json`` is made from recorded facts (``docs/make_hub_registry.py``); nothing
in it is code, and nothing is looked up elsewhere.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from kerasbert.hub.errors import UnknownModelError
from kerasbert.hub.names import close_to, normalise

NOT_STATED = "not stated"
_WITH_MLM = ("lm", "unilm")  # applications that have the head always


@dataclass(frozen=True)
class Address:
    """Where a file can be had.

    Attributes:
        url: for ``kind`` "huggingface" of the form ``hf://user/name``.
        kind: "direct" (a plain download), "huggingface" (through ``huggingface_hub``), "drive"
            (Google Drive), "share" (an extraction code and a client of its own are needed) or
            "page" (a person finds the file there).
        code: the extraction code of a share.
    """

    url: str
    kind: str
    code: str | None = None

    @property
    def by_hand(self) -> bool:
        """Whether a program cannot fetch it."""
        return self.kind in ("share", "page")

    def __str__(self) -> str:
        return f"{self.url} (extraction code {self.code})" if self.code else self.url


@dataclass(frozen=True)
class RecordedFile:
    """What is known of a file inside an archive: SHA-256 in hexadecimal, and bytes; or None."""

    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Archive:
    """One form in which a model was published.

    Attributes:
        name: of the archive or folder; of a Hugging Face repository ``user/name``.
        format: "zip", "tar.gz", "folder" or "repository".
        kind: what the weights are, in words.
        addresses: in order of preference.
        files: names inside, with what is known of them; empty where it is not recorded.
        holds_config: whether a json of the model is known to lie in it.
        folder: the model in whose folder of the cache it lies, where two models share an archive.
        size: bytes of the archive itself; None where it is not recorded.
        sha256: of the archive itself; None where it is not recorded.
        size_stated: the publisher's words on the size, such as "344MB".
    """

    name: str
    format: str
    kind: str
    addresses: tuple[Address, ...] = ()
    files: Mapping[str, RecordedFile] = field(default_factory=dict)
    holds_config: bool = False
    folder: str | None = None
    size: int | None = None
    sha256: str | None = None
    size_stated: str | None = None


@dataclass(frozen=True)
class Vocabulary:
    """Facts about a vocabulary.

    Attributes:
        size: number of tokens.
        kind: "wordpiece", "sentencepiece", ..., in words.
        file: its name; None where it is not recorded.
        ids: special tokens, from "pad", "unk", "cls", "sep", "mask", "bos", "eos" to token and id.
        note: what else is known.
    """

    size: int
    kind: str
    file: str | None = None
    ids: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True)
class Citation:
    """The work to cite."""

    key: str
    authors: str
    title: str
    year: int
    address: str

    def bibtex(self) -> str:
        """The entry for a bibliography."""
        lines = [
            f"  author = {{{self.authors}}},",
            f"  title = {{{self.title}}},",
            f"  year = {{{self.year}}},",
            f"  url = {{{self.address}}},",
        ]
        return "\n".join([f"@misc{{{self.key},", *lines, "}"])


@dataclass(frozen=True)
class PublishedModel:
    """What is known of a published model.

    Attributes:
        name: canonical; also its folder in the cache.
        title: the publisher's name for it.
        aliases: further names; case does not matter, nor ``-`` or ``_``.
        family: the value of ``model=`` that builds it.
        options: arguments of ``build_transformer_model`` that its outputs are meant with, where
            they are asked for: ``{"with_pool": "linear"}`` of SimBERT.
        language: "en", "zh" or "multilingual".
        licence: an SPDX identifier, or "not stated".
        licence_note: the recorded words.
        non_commercial: whether the licence forbids commercial use.
        citation: the work to cite.
        parameters: their number with all published heads, without the optimizer's; None where it
            is not recorded.
        do_lower_case: what its tokenizer does; None where it is not recorded.
        vocabulary: facts about it; None where there are none.
        config: the json, as recorded; None where it is not.
        archives: the forms in which it was published, the preferred first.
        notes: what a user should know.
        head_warnings: by option (``with_mlm``), why the head that it builds is not what it seems.
        published: names of the recorded facts.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    family: str
    options: Mapping[str, Any]
    language: str
    licence: str
    licence_note: str
    non_commercial: bool
    citation: Citation
    parameters: int | None
    do_lower_case: bool | None
    vocabulary: Vocabulary | None
    config: Mapping[str, Any] | None
    archives: tuple[Archive, ...]
    notes: tuple[str, ...] = ()
    head_warnings: Mapping[str, str] = field(default_factory=dict)
    published: tuple[str, ...] = ()

    def warnings_for(self, options: Mapping[str, Any]) -> list[str]:
        """What to say before a model is built with ``options``.

        Args:
            options: those of ``build_transformer_model``. ``application`` "lm" and "unilm" have the
                MLM head always.

        Returns:
            One sentence or more for each head that is asked for and random or otherwise not what
            it seems.
        """
        asked = {
            name for name, value in options.items() if value is not None and value is not False
        }
        if options.get("application") in _WITH_MLM:
            asked.add("with_mlm")
        return [
            f"{self.name}: {text}" for name, text in self.head_warnings.items() if name in asked
        ]


def find(name: str) -> PublishedModel:
    """The published model of a name.

    Args:
        name: the canonical name or an alias: ``"RBT3"``, ``"hfl/chinese-roberta-wwm-ext"``,
            ``"chinese_L-12_H-768_A-12"``.

    Raises:
        UnknownModelError: with the names that are spelt like it.
    """
    model = get(name)
    if model is None:
        near = suggestions(name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownModelError(
            f"no published model is known as {name!r}.{hint} kerasbert.hub.models() lists all "
            f"{len(_registry())}; 'hf://user/name' is any repository of Hugging Face."
        )
    return model


def get(name: str) -> PublishedModel | None:
    """As :func:`find`, but None for an unknown name."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a model is text. Received: {name!r}")
    return _by_alias().get(normalise(name))


def suggestions(name: str) -> list[str]:
    """Canonical names of at most three models with a name that is spelt like ``name``."""
    near = close_to(name, _by_alias(), count=6)
    return list(dict.fromkeys(_by_alias()[key].name for key in near))[:3]


def models(
    family: str | None = None, licence: str | None = None, language: str | None = None
) -> list[PublishedModel]:
    """The published models that are known, by canonical name.

    Args:
        family: only those that this value of ``model=`` builds.
        licence: only those under this licence (``"Apache-2.0"``, ``"MIT"``, ``"not stated"``, ...).
        language: only "en", "zh" or "multilingual" ones.

    Raises:
        ValueError: a value that no model has, with those there are.
    """
    wanted = {"family": family, "licence": licence, "language": language}
    found = list(_registry())
    for attribute, value in wanted.items():
        if value is None:
            continue
        known = {getattr(model, attribute).casefold(): None for model in _registry()}
        if value.casefold() not in known:
            raise ValueError(
                f"no model has {attribute}={value!r}. There are: {', '.join(sorted(known))}."
            )
        found = [m for m in found if getattr(m, attribute).casefold() == value.casefold()]
    return found


@functools.lru_cache(maxsize=1)
def _registry() -> tuple[PublishedModel, ...]:
    text = resources.files("kerasbert.hub").joinpath("models.json").read_text(encoding="utf-8")
    content = json.loads(text)
    citations = {key: Citation(key, **value) for key, value in content["citations"].items()}
    return tuple(_model(entry, citations) for entry in content["models"])


@functools.lru_cache(maxsize=1)
def _by_alias() -> dict[str, PublishedModel]:
    return {
        normalise(name): model for model in _registry() for name in (model.name, *model.aliases)
    }


def _model(entry: dict[str, Any], citations: Mapping[str, Citation]) -> PublishedModel:
    vocabulary = entry["vocabulary"]
    if vocabulary:
        ids = {key: (token, at) for key, (token, at) in vocabulary["ids"].items()}
        vocabulary = Vocabulary(**{**vocabulary, "ids": ids})
    lists = ("aliases", "notes", "published")
    return PublishedModel(
        **{
            **entry,
            **{key: tuple(entry[key]) for key in lists},
            "citation": citations[entry["citation"]],
            "vocabulary": vocabulary or None,
            "archives": tuple(map(_archive, entry["archives"])),
        }
    )


def _archive(entry: dict[str, Any]) -> Archive:
    files = {name: RecordedFile(**known) for name, known in entry["files"].items()}
    addresses = tuple(Address(**address) for address in entry["addresses"])
    return Archive(**{**entry, "files": files, "addresses": addresses})
