"""The command ``kerasbert``: one module for each subcommand.

A subcommand is a module with ``add_parser(subparsers)`` and ``run(arguments) -> int``. Exit
statuses: 0 done, 1 the work failed (stderr says why, in a line that begins with the command), 2 the
command line is wrong, 130 interrupted by Ctrl-C.

Modules of subcommands import what is heavy when they run: ``kerasbert --help`` imports all of them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import kerasbert
from kerasbert.cli.messages import plain_messages
from kerasbert.startup import be_verbose

COMMANDS = ("info", "convert", "hub", "encode", "similar", "generate", "tokenize", "serve")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="kerasbert",
        description="Published BERT-like checkpoints as Keras models.",
        epilog="`kerasbert COMMAND --help` describes a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"kerasbert {kerasbert.__version__}")
    parser.add_argument(
        "--verbose", action="store_true", help="show what is done, and TensorFlow's messages"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"{__name__}.{name}")
        module.add_parser(subparsers).set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status.

    Args:
        argv: the arguments without the program's name; None for those of this process.
    """
    arguments = _parse(argv)
    if arguments.verbose:
        be_verbose()
    try:
        with plain_messages(arguments.command, arguments.verbose):
            status = arguments.run(arguments)
            sys.stdout.flush()  # here, where a reader that has gone is noticed
            return status
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"kerasbert {arguments.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; files may also stand behind options, where argparse does not look for them."""
    parser = make_parser()
    arguments, rest = parser.parse_known_args(argv)
    wrong = [word for word in rest if word.startswith("-") and word != "-"]
    if wrong or (rest and not hasattr(arguments, "files")):
        parser.error(f"unrecognized arguments: {' '.join(wrong or rest)}")
    if rest:
        arguments.files = [*arguments.files, *rest]
    return arguments
