"""``kerasbert hub``: published models by name."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from kerasbert.cli import writing

_EXAMPLES = """\
examples:
  kerasbert hub list --family bert --licence Apache-2.0
  kerasbert hub show chinese-roberta-wwm-ext
  kerasbert hub download RBT3
  kerasbert hub download RBT3 --to models
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand and its own three."""
    parser = subparsers.add_parser(
        "hub",
        help="published models: their names, facts and files",
        description="Published models by name. Downloads go to $KERASBERT_HOME/models once, and "
        "every command that takes a MODEL takes their names.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("list", help="names, families, languages, sizes and licences")
    one.add_argument("--family", help="only of this family, such as bert or electra")
    one.add_argument("--licence", "--license", help="only under this licence, such as MIT")
    one.add_argument("--language", help="only in this language: zh, en or multilingual")
    one.add_argument("--json", action="store_true", help="all facts, as one JSON list")
    one.set_defaults(act=_list)

    one = actions.add_parser("show", help="all facts about a model: addresses, licence, citation")
    one.add_argument("name", metavar="NAME", help="its name or another one that it is known by")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(act=_show)

    one = actions.add_parser(
        "download",
        help="the files of a model; prints where they are",
        description="Downloads a model unless it is on this machine, checks it, and prints the "
        "path of its archive or folder, which is a MODEL for the other commands.",
    )
    one.add_argument("name", metavar="NAME", help="of a model, or hf://user/name[@revision]")
    one.add_argument("--to", type=Path, metavar="FOLDER", help="also copy the files there")
    one.add_argument("--force", action="store_true", help="download again, and write over copies")
    one.set_defaults(act=_download)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Runs the action."""
    return arguments.act(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from kerasbert import hub

    found = hub.models(arguments.family, arguments.licence, arguments.language)
    if arguments.json:
        print(writing.json_line([_facts(model) for model in found]))
        return 0
    rows = [("NAME", "FAMILY", "LANGUAGE", "PARAMETERS", "LICENCE", "HERE")]
    for model in found:
        rows.append(
            (
                model.name,
                model.family,
                model.language,
                f"{model.parameters:,}" if model.parameters else "",
                model.licence + (" (not commercially)" if model.non_commercial else ""),
                "yes" if hub.locate(model) else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column == 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())
    return 0


def _facts(model) -> dict[str, Any]:
    """All that is known of a model, and where it lies on this machine."""
    from kerasbert import hub

    here = hub.locate(model)
    return {**dataclasses.asdict(model), "path": None if here is None else str(here)}


def _show(arguments: argparse.Namespace) -> int:
    from kerasbert import hub

    model = hub.find(arguments.name)
    if arguments.json:
        print(writing.json_line(_facts(model)))
        return 0
    here = hub.locate(model)
    lines = [("title", model.title), ("family", model.family)]
    if model.aliases:
        lines.append(("also", ", ".join(model.aliases)))
    if model.options:
        lines.append(("options", ", ".join(f"{k}={v!r}" for k, v in model.options.items())))
    lines.append(("language", model.language))
    if model.parameters:
        lines.append(("parameters", f"{model.parameters:,}"))
    if model.vocabulary:
        case = {True: ", lower-cased", False: ", cased", None: ""}[model.do_lower_case]
        lines.append(("vocabulary", f"{model.vocabulary.size:,} {model.vocabulary.kind}{case}"))
    licence = model.licence + (": not for commercial use" if model.non_commercial else "")
    if model.licence_note not in ("", model.licence):
        licence += f" ({model.licence_note})"
    lines.append(("licence", licence))
    for archive in model.archives:
        size = f"{archive.size:,} bytes" if archive.size else archive.size_stated
        title = f"{archive.name or 'files'} ({', '.join(filter(None, (archive.kind, size)))})"
        lines.append(("files", title))
        lines += [("", f"  {address}") for address in archive.addresses]
    lines += [("note", note) for note in model.notes]
    lines += [("warning", f"{name}: {text}") for name, text in model.head_warnings.items()]
    lines.append(("here", str(here) if here else f"no; it would lie in {hub.folder_of(model)}"))
    print(model.name)
    for title, text in lines:
        print(f"  {title:<11} {text}")
    print(f"\n{model.citation.bibtex()}")
    return 0


def _download(arguments: argparse.Namespace) -> int:
    from kerasbert import hub

    found = hub.fetch(arguments.name, force=arguments.force)
    if arguments.to is not None:
        found = _copy(found, arguments.to.expanduser(), arguments.force)
    print(found)
    return 0


def _copy(source: Path, folder: Path, force: bool) -> Path:
    """Copies an archive or a folder into a folder, whole or not at all."""
    target = folder / source.name
    if target.exists() and target.resolve() == source.resolve():
        return target
    if target.exists() and not force:
        raise FileExistsError(f"{target} is there already: pass --force to write over it.")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{source.name}.{uuid.uuid4().hex}.part"
    try:
        if source.is_dir():
            shutil.copytree(source, temporary)
            if target.exists():
                shutil.rmtree(target)
        else:
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
    return target
