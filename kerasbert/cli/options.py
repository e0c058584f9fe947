"""Values of options, checked while the command line is read."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return number


def not_negative(text: str) -> int:
    """A whole number from 0 on."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text}")
    return number


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def add_model(parser: argparse.ArgumentParser, generates: bool = False) -> None:
    """Adds the checkpoint, and how it is built.

    Args:
        parser: of a subcommand.
        generates: whether the model shall write texts.
    """
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="MODEL",
        help="an archive, a folder, a prefix or a file of weights, as it was released; or the "
        "name of a published model (`kerasbert hub list`), which is downloaded once",
    )
    add(
        "--model",
        metavar="FAMILY",
        help="the family, such as unilm, gpt2 or t5"
        if generates
        else "the family, such as bert, roformer or unilm (SimBERT); inferred",
    )
    if generates:
        add(
            "--application",
            choices=("unilm", "lm"),
            help="of an encoder: unilm answers a text, lm continues it",
        )
    add("--dtype", help="of the computation, such as bfloat16; float32")
    add("--layers", type=positive, metavar="N", help="use only the first N blocks")
