"""``kerasbert convert``: a checkpoint of any format that is read, in another."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kerasbert.cli import writing

FORMATS = ("google", "huggingface", "keras")

_EXAMPLES = """\
examples:
  kerasbert convert chinese_L-12_H-768_A-12.zip bert_base_chinese --to huggingface
  kerasbert convert bert_base_chinese/model.safetensors out/bert_model.ckpt --to google
  kerasbert convert hfl/chinese-macbert-base macbert.weights.h5 --to keras --dtype bfloat16
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "convert",
        help="a checkpoint in another format",
        description="Writes the weights of a checkpoint, all its heads, its configuration and its "
        "vocabulary in another format, and says what was left out and why. What is there already "
        "is left alone unless --force is given.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="IN", help="a path, or the name of a published model")
    add(
        "target",
        metavar="OUT",
        help="google: a folder, a prefix that ends in .ckpt, or a .zip; huggingface: a folder; "
        "keras: a file that ends in .weights.h5 or .keras",
    )
    add("--to", required=True, choices=FORMATS, help="the format that is written")
    add(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="of the stored numbers; float32, which holds those of the others exactly",
    )
    add("--model", metavar="FAMILY", help="the family; inferred")
    add("--config", metavar="FILE", help="the json of the model, where it does not lie beside IN")
    add("--vocab", metavar="FILE", help="the vocabulary, where it does not lie beside IN")
    add("--max-shard-size", metavar="SIZE", help="of a safetensors file, such as 2GB")
    add("--force", action="store_true", help="write over what is there")
    add("--json", action="store_true", help="the report as JSON")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Converts, and prints the report."""
    if not arguments.force:
        _refuse_what_is_there(Path(arguments.target).expanduser(), arguments.to)
    from kerasbert.startup import import_models

    import_models()
    from kerasbert.convert import convert

    report = convert(
        arguments.source,
        arguments.target,
        arguments.to,
        config=arguments.config,
        model=arguments.model,
        vocab=arguments.vocab,
        dtype=arguments.dtype,
        max_shard_size=arguments.max_shard_size,
    )
    print(writing.json_line(dataclasses.asdict(report)) if arguments.json else report)
    return 0


def _refuse_what_is_there(target: Path, to: str) -> None:
    """Raises FileExistsError where files of that name, or beside it, would be written over."""
    folder = target
    if target.suffix in (".zip", ".h5", ".keras"):
        found = [target] if target.exists() else []
    else:
        if target.suffix == ".ckpt" and to == "google":
            folder = target.parent
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file, and would have to be a folder.")
        found = sorted(folder.iterdir()) if folder.is_dir() else []
    if found:
        what = ", ".join(path.name for path in found[:3]) + (", ..." if len(found) > 3 else "")
        raise FileExistsError(
            f"{folder} is there already ({what}): name another place, or pass --force to write "
            "over files of the same names."
        )
