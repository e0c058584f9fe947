"""``kerasbert info``: what a checkpoint is, without reading its weights."""

from __future__ import annotations

import argparse
import json

_EXAMPLES = """\
examples:
  kerasbert info chinese_L-12_H-768_A-12.zip
  kerasbert info downloads/pytorch_model.bin
  kerasbert info RBT3 --json
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "info",
        help="what a checkpoint is: family, sizes, heads, vocabulary, what would not fit",
        description="Says what a checkpoint is, from its names, shapes and json: weights are not "
        "read. A published model is described where it is on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint", metavar="MODEL", help="a path, or the name of a published model"
    )
    parser.add_argument("--model", metavar="FAMILY", help="the family; inferred")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Prints what is found."""
    _check_that_it_is_here(arguments.checkpoint)
    from kerasbert.startup import import_models

    import_models()
    from kerasbert.cli import inspecting

    found = inspecting.inspect(arguments.checkpoint, arguments.model)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print("\n".join(inspecting.as_lines(found)))
    return 0


def _check_that_it_is_here(text: str) -> None:
    """Raises FileNotFoundError for a published model that is not: a look downloads nothing."""
    from kerasbert import hub
    from kerasbert.checkpoints.source import is_on_disk

    if is_on_disk(text):
        return
    published = hub.get(text)
    if published is not None and hub.locate(published) is None:
        raise FileNotFoundError(
            f"{text} is the published model {published.name}, which is not on this machine. "
            f"`kerasbert hub show {published.name}` tells what is known of it, and `kerasbert hub "
            f"download {published.name}` gets it."
        )
