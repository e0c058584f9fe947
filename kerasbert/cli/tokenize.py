"""``kerasbert tokenize``: texts to tokens or ids, and back."""

from __future__ import annotations

import argparse

from kerasbert.cli import models, options, reading, writing

_EXAMPLES = """\
examples:
  kerasbert tokenize chinese_L-12_H-768_A-12/vocab.txt texts.txt
  kerasbert tokenize chinese_L-12_H-768_A-12.zip --ids --max-length 128 texts.txt -o ids.npy
  kerasbert tokenize bert-base-uncased --pairs --format jsonl < pairs.tsv
  kerasbert tokenize bert-base-uncased --decode ids.txt
"""


def add_parser(subparsers) -> argparse.ArgumentParser:
    """Adds the subcommand's options."""
    parser = subparsers.add_parser(
        "tokenize",
        help="tokens and ids of texts, and texts of ids",
        description="Gives the tokens of each line, with the special tokens that the model wants "
        "around them. JSON lines hold tokens, ids, segments and the place of each token in the "
        "text; .npy holds the ids, padded to --max-length.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="MODEL",
        help="a checkpoint with its vocabulary, a vocabulary (vocab.txt, *.model, vocab.json, "
        "tokenizer.json), or the name of a published model",
    )
    reading.add_arguments(parser, pairs="lines are two texts with a TAB between")
    add("--ids", action="store_true", help="ids instead of tokens, with spaces")
    add("--decode", action="store_true", help="lines are ids with spaces: give their texts")
    add("--max-length", type=options.positive, metavar="N", help="most tokens of a line, special "
        "ones counted; the rest is left out")  # fmt: skip
    add("--no-special-tokens", action="store_true", help="the tokens of the text alone")
    case = parser.add_mutually_exclusive_group()
    case.add_argument("--lower-case", action="store_true", default=None, help="as for uncased "
                      "models, whatever the files say")  # fmt: skip
    case.add_argument("--cased", dest="lower_case", action="store_false", help="the opposite")
    writing.add_arguments(parser, "tokens with spaces", ("text", "jsonl", "npy"))
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Tokenizes or decodes all lines."""
    kind = writing.format_of(arguments)
    _check(arguments, kind)
    reading.check_files(arguments.files)
    chosen = {} if arguments.lower_case is None else {"do_lower_case": arguments.lower_case}
    tokenizer = models.load_tokenizer(arguments.checkpoint, **chosen)
    lists = reading.read_entries(arguments.files, arguments.field, arguments.pairs)
    with writing.make_progress(reading.count_lines(arguments.files)) as progress:
        if kind == "npy":
            _write_array(tokenizer, lists, arguments, progress)
            return 0
        convert = _decoded if arguments.decode else _tokenized
        with writing.open_output(arguments.output) as file:
            for entries in lists:
                lines = convert(tokenizer, entries, arguments, kind)
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                progress.update(len(entries))
    return 0


def _check(arguments: argparse.Namespace, kind: str) -> None:
    if arguments.decode and (arguments.pairs or arguments.ids or arguments.field or kind == "npy"):
        raise ValueError("--decode reads ids and gives texts: leave out --pairs, --ids, --field "
                         "and .npy.")  # fmt: skip
    if arguments.no_special_tokens and (arguments.pairs or kind == "npy"):
        raise ValueError("--no-special-tokens is for single texts, as text or JSON lines.")
    if kind == "npy" and arguments.max_length is None:
        raise ValueError("ids in .npy are a table with --max-length columns: give that as well.")


def _tokenized(tokenizer, entries, arguments: argparse.Namespace, kind: str) -> list[str]:
    texts = [entry.text for entry in entries]
    # An empty line among pairs is a pair of empty texts.
    pairs = [entry.pair or "" for entry in entries] if arguments.pairs else None
    if kind == "text" and not arguments.no_special_tokens:
        rows = tokenizer.encode_ids(texts, pairs, max_length=arguments.max_length)
    else:
        encoding = tokenizer(
            texts,
            pairs,
            max_length=arguments.max_length,
            padding=False,
            return_offsets=True,
            return_tensors=None,
        )
        if arguments.no_special_tokens:
            _leave_out_special(encoding)
        rows = encoding["token_ids"]
    if kind == "text":
        if arguments.ids:
            return [" ".join(map(str, row)) for row in rows]
        return [" ".join(tokenizer.ids_to_tokens(row)) for row in rows]
    lines = []
    for at, (entry, row) in enumerate(zip(entries, rows)):
        record = entry.fields or {"text": entry.text}
        if entry.fields is None and arguments.pairs:
            record["pair"] = entry.pair or ""
        record = {
            **record,
            "tokens": tokenizer.ids_to_tokens(row),
            "token_ids": row,
            "segment_ids": encoding["segment_ids"][at],
            "offsets": encoding["offsets"][at],
        }
        lines.append(writing.json_line(record))
    return lines


def _leave_out_special(encoding: dict) -> None:
    """Keeps what stands for a part of the text, which special tokens do not."""
    for at, offsets in enumerate(encoding["offsets"]):
        kept = [i for i, (start, end) in enumerate(offsets) if end > start]
        for rows in encoding.values():
            rows[at] = [rows[at][i] for i in kept]


def _decoded(tokenizer, entries, arguments: argparse.Namespace, kind: str) -> list[str]:
    lines = []
    for entry in entries:
        try:
            ids = [int(word) for word in entry.text.split()]
            text = tokenizer.decode(ids)
        except ValueError as error:
            raise ValueError(f"{entry.place} must be ids of tokens, with spaces: {error}") from None
        if kind == "text":
            lines.append(writing.one_line(text))
        else:
            lines.append(writing.json_line({"token_ids": ids, "text": text}))
    return lines


def _write_array(tokenizer, lists, arguments: argparse.Namespace, progress) -> None:
    """The ids as int32 (lines, max_length), padded."""
    from kerasbert.startup import import_models

    import_models()  # of which the writer's package is a part
    from kerasbert.embedding.npy_file import NpyWriter

    with NpyWriter(arguments.output, arguments.max_length, "int32") as file:
        for entries in lists:
            encoding = tokenizer(
                [entry.text for entry in entries],
                [entry.pair or "" for entry in entries] if arguments.pairs else None,
                max_length=arguments.max_length,
                padding="max_length",
            )
            file.write(encoding["token_ids"])
            progress.update(len(entries))
