"""The options of ``/generate``, within limits."""

from __future__ import annotations

from typing import Any

from kerasbert.generation.options import GenerationOptions
from kerasbert.serving.errors import RequestError
from kerasbert.serving.fields import Fields
from kerasbert.serving.limits import Limits

_NEW_TOKENS = 32  # where a request does not say
_MAX_TOP_K = 1000
_MAX_SEED = 2**31 - 1


def generation_options(fields: Fields, limits: Limits, streamed: bool = False) -> dict[str, Any]:
    """The options that a request gives, as :func:`kerasbert.generation.generate` names them.

    Args:
        fields: of the request; no other fields may be left in it.
        limits: the most that may be asked for.
        streamed: whether the text is streamed, which beams and several texts cannot be.

    Raises:
        RequestError: 400, for options that are wrong or do not fit each other.
    """
    read = {
        "max_new_tokens": lambda n: fields.integer(n, None, 1, limits.max_new_tokens),
        "min_new_tokens": lambda n: fields.integer(n, None, 0, limits.max_new_tokens),
        "num_beams": lambda n: fields.integer(n, None, 1, limits.max_beams),
        "num_return_sequences": lambda n: fields.integer(n, None, 1, limits.max_beams),
        "do_sample": lambda n: fields.flag(n),
        "top_k": lambda n: fields.integer(n, None, 0, _MAX_TOP_K),
        "top_p": lambda n: fields.number(n, None, 1e-6, 1.0),
        "temperature": lambda n: fields.number(n, None, 1e-3, 100.0),
        "length_penalty": lambda n: fields.number(n, None, -10.0, 10.0),
        "repetition_penalty": lambda n: fields.number(n, None, 0.01, 100.0),
        "no_repeat_ngram": lambda n: fields.integer(n, None, 0, limits.max_new_tokens),
        "seed": lambda n: fields.integer(n, None, 0, _MAX_SEED),
    }
    options = {name: take(name) for name, take in read.items()}
    fields.end()
    options = {name: value for name, value in options.items() if value is not None}
    if not options["do_sample"]:
        del options["do_sample"]
    if streamed:
        for name in ("num_beams", "num_return_sequences"):
            if options.get(name, 1) > 1:
                raise RequestError(400, f"{name} cannot be streamed: leave out stream.", name)
    options.setdefault("max_new_tokens", min(_NEW_TOKENS, limits.max_new_tokens))
    try:
        GenerationOptions.of(options)
    except (TypeError, ValueError) as error:
        raise RequestError(400, str(error)) from None
    return options
