"""The fields of a request's JSON, each checked, with errors that name the field."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any

from kerasbert.serving.errors import RequestError
from kerasbert.serving.limits import Limits

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false",
          int: "a number", float: "a number", type(None): "null"}  # fmt: skip


def parse_object(body: bytes) -> dict[str, Any]:
    """The object that a body holds in JSON.

    Raises:
        RequestError: 400, for anything else: other types, NaN, a key twice, nesting without end.
    """

    def refuse(constant: str):
        raise ValueError(f"{constant} is not JSON")

    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice[:50]!r} is there twice")
        return found

    try:
        text = body.decode("utf-8")
        content = json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: {error.reason} at byte {error.start}.") \
            from None  # fmt: skip
    except RecursionError:
        raise RequestError(400, "the body is nested too deeply.") from None
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise RequestError(400, f"the body must be a JSON object, got {_kind(content)}.")
    return content


class Fields:
    """Reads the fields of a request one by one; :meth:`end` refuses those that nobody asked for.

    Args:
        content: the request's object.
        limits: what may be asked for.
    """

    def __init__(self, content: Mapping[str, Any], limits: Limits):
        self._content, self._limits = content, limits
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        self._known.add(name)
        return self._content.get(name) is not None

    def texts(self, name: str) -> list[str]:
        """A list of texts that must not be empty, or one text."""
        self._known.add(name)
        value = self._content.get(name)
        if value is None:
            given = ", ".join(sorted(key[:50] for key in self._content)[:10]) or "none"
            raise RequestError(
                400, f"{name} is missing: give a list of texts. Fields received: {given}.", name
            )
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise RequestError(
                400, f"{name} must be a text or a list of texts, got {_kind(value)}.", name
            )
        if not value:
            raise RequestError(400, f"{name} is an empty list.", name)
        most = self._limits.max_texts
        if len(value) > most:
            raise RequestError(
                413, f"{name} has {len(value)} texts, and a request may have {most}: send several.",
                name,
            )  # fmt: skip
        for at, text in enumerate(value):
            self._check_text(text, f"{name}[{at}]")
        return value

    def text(self, name: str) -> str:
        """One text; a list of one is taken as well."""
        texts = self.texts(name)
        if len(texts) != 1:
            raise RequestError(400, f"{name} must be one text, got {len(texts)}.", name)
        return texts[0]

    def _check_text(self, text: Any, where: str) -> None:
        if not isinstance(text, str):
            raise RequestError(400, f"{where} must be a string, got {_kind(text)}.", where)
        most = self._limits.max_characters
        if len(text) > most:
            raise RequestError(
                413, f"{where} has {len(text)} characters, and a text may have {most}.", where
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise RequestError(
                400,
                f"{where} has half a surrogate pair (\\u{code:04x}) at character {error.start}, "
                "which is no text.",
                where,
            ) from None

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise RequestError(400, f"{name} must be true or false, got {_kind(value)}.", name)
        return value

    def integer(self, name: str, default, low: int, high: int):
        """A whole number from ``low`` to ``high``."""
        value = self._value(name, default)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(400, f"{name} must be a whole number, got {_show(value)}.", name)
        return self._within(name, value, low, high)

    def number(self, name: str, default, low: float, high: float):
        """A number from ``low`` to ``high``."""
        value = self._value(name, default)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RequestError(400, f"{name} must be a number, got {_show(value)}.", name)
        value = self._within(name, value, low, high)
        return float(value)

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of several words."""
        value = self._value(name, default)
        if value not in choices:
            raise RequestError(
                400, f"{name} must be one of {', '.join(choices)}, got {_show(value)}.", name
            )
        return value

    def _value(self, name: str, default):
        self._known.add(name)
        value = self._content.get(name)
        return default if value is None else value

    def _within(self, name: str, value, low, high):
        if not low <= value <= high or not math.isfinite(value):
            raise RequestError(
                400, f"{name} must be from {low:g} to {high:g}, got {_show(value)}.", name
            )
        return value

    def end(self) -> None:
        """Refuses what is left."""
        for name in self._content:
            if name not in self._known:
                near = difflib.get_close_matches(name, self._known, n=1)
                hint = f"did you mean {near[0]}?" if near else \
                    f"there are {', '.join(sorted(self._known))}."  # fmt: skip
                raise RequestError(400, f"unknown field {name[:50]!r}: {hint}", name[:50])


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


def _show(value: Any) -> str:
    """A value for a message: short, whatever was sent."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = repr(value) if not isinstance(value, int) or abs(value) < 1e30 else "a huge number"
        return text if len(text) <= 60 else text[:60] + "..."
    return _kind(value)
