"""Where the files of a checkpoint lie: prefix, config and vocabulary, however they were published.

Archives and folders in the wild hold nested folders (``publish/``), any prefix
(``bert_model.ckpt``, ``model.ckpt-best``, ``electra_small``), several configs, and a ``checkpoint``
file with the paths of the machine that wrote it. Files are therefore found by what they are, not by
a fixed list of names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

from kerasbert import hub
from kerasbert.checkpoints import archives
from kerasbert.checkpoints.companions import (
    Neighbours,
    choose_config,
    choose_vocab,
    read_config,
)
from kerasbert.checkpoints.errors import (
    CheckpointFormatError,
    CheckpointNotFoundError,
    refuse_lfs_pointer,
)
from kerasbert.checkpoints.folders import files_below, listing, shortened
from kerasbert.checkpoints.formats import FORMATS, WeightsFormat, format_of
from kerasbert.checkpoints.prefixes import FILE_OF_PREFIX, choose_prefix, find_prefixes

PathLike = Union[str, "os.PathLike[str]"]

logger = logging.getLogger(__name__)

_MAX_DEPTH = 5  # of folders in folders
_ACCEPTED = (
    "a prefix such as folder/bert_model.ckpt, one of its files (.index, .data-00000-of-00001), "
    "a file of safetensors, PyTorch (.bin, .pt), Keras or Hugging Face (.h5, .weights, .keras) or "
    "Paddle (.pdparams), a folder, a .zip or .tar.gz archive, or a dict of arrays"
)
_OTHER_FORMATS = {
    ".msgpack": "a Flax file",
    ".onnx": "an ONNX file",
    ".tflite": "a TensorFlow Lite file",
    ".gguf": "a GGUF file",
    ".npz": "a NumPy archive (`numpy.load` makes it a dict of arrays, which is accepted)",
}


@dataclass(frozen=True)
class CheckpointFiles:
    """What was found.

    Attributes:
        prefix: absolute path of a TensorFlow checkpoint without ``.index``; None for other weights
            or none.
        weights: absolute path of a file in another format, or of the index of several.
        format: that format.
        tensors: the arrays by name, when a dict was given.
        config: the parsed configuration; None when there is none.
        config_path: the file that it was read from.
        configs: all configurations found beside the checkpoint, best first: ELECTRA has one for the
            discriminator and one for the generator.
        vocab_path: the vocabulary (``vocab.txt``, or a SentencePiece ``*.model``).
        name: archive, folder or file, in short, for messages.
        published: what is known of the model, when its name was given.
    """

    prefix: str | None = None
    weights: Path | None = None
    format: WeightsFormat | None = None
    tensors: Mapping[str, Any] | None = None
    config: dict[str, Any] | None = None
    config_path: Path | None = None
    configs: tuple[Path, ...] = ()
    vocab_path: Path | None = None
    name: str = ""
    published: hub.PublishedModel | None = None


def find_checkpoint(
    checkpoint: PathLike | Mapping[str, Any] | None = None,
    config: PathLike | Mapping[str, Any] | None = None,
) -> CheckpointFiles:
    """Finds weights, configuration and vocabulary of a published checkpoint.

    Args:
        checkpoint: a prefix, one of its files, a file of one of ``formats.FORMATS`` or the index of
            several, a folder, an archive, or a dict of arrays. None means the place that ``config``
            names, or no weights when that is a json or a dict. Of a folder's weights those in the
            upper folder count, and of these a TensorFlow checkpoint before the others in the order
            of ``FORMATS``.
        config: a json file, a dict, or a folder or archive that holds a json. None means the json
            beside the checkpoint.

    Raises:
        CheckpointNotFoundError: nothing there, or several candidates and no reason to take one.
        CheckpointFormatError: a broken file, a Git LFS pointer, or another format.
        UnsafeArchiveError: an archive that tries to write outside its folder.
    """
    if checkpoint is None and config is None:
        raise ValueError(f"neither a checkpoint nor a config was given. Give {_ACCEPTED}.")
    if checkpoint is None and not isinstance(config, Mapping) and as_path(config).suffix != ".json":
        checkpoint, config = config, None

    found, near = (CheckpointFiles(), ()) if checkpoint is None else _find_weights(checkpoint)
    published = _published(checkpoint)
    if found.prefix:
        refuse_lfs_pointer(_index(Path(found.prefix)))
    elif found.weights:
        refuse_lfs_pointer(found.weights)
    if isinstance(config, Mapping):
        found = replace(found, config=dict(config), name=found.name or "a config without weights")
    else:
        if config is None:
            path, candidates = choose_config(near, found.name)
        else:
            path, candidates, near_config = _find_config(config)
            near = (*near, *near_config)
        if path:
            found = replace(
                found,
                config=read_config(path),
                config_path=path,
                configs=candidates,
                name=found.name or path.name,
            )
    if found.config is None and published is not None and published.config:
        found = replace(found, config=dict(published.config))  # its archive holds none
    return replace(found, vocab_path=choose_vocab(near), published=published)


def _published(checkpoint: PathLike | Mapping[str, Any] | None) -> hub.PublishedModel | None:
    """The published model that was asked for by its name."""
    if checkpoint is None or isinstance(checkpoint, Mapping) or is_on_disk(checkpoint):
        return None
    return hub.get(os.fspath(checkpoint))


def is_on_disk(source: PathLike) -> bool:
    """Whether something lies at a path, or files of a prefix do: it is then no model's name."""
    path = Path(os.path.expanduser(source))
    return path.exists() or _index(path).exists()


def _find_weights(checkpoint: PathLike | Mapping[str, Any]) -> tuple[CheckpointFiles, Neighbours]:
    """The weights alone, and the files among which what belongs to them is looked for."""
    if isinstance(checkpoint, Mapping):
        if not checkpoint or not all(isinstance(name, str) for name in checkpoint):
            raise ValueError("a dict of arrays needs variable names as its keys, and at least one.")
        name = f"a dict of {len(checkpoint)} arrays"
        return CheckpointFiles(tensors=checkpoint, name=name), ()
    path = as_path(checkpoint)
    if path.name in ("checkpoint", "saved_model.pb") and path.is_file():
        path = path.parent
    match = FILE_OF_PREFIX.fullmatch(path.name)
    prefix = path.with_name(match[1]) if match else path
    if _index(prefix).is_file() and not os.fspath(checkpoint).endswith(("/", os.sep)):
        name = f"{prefix.parent.name}/{prefix.name}"
        return CheckpointFiles(prefix=str(prefix), name=name), _near_prefix(prefix)
    if path.is_dir():
        return _find_in_folder(path, path.name)
    if not path.is_file():
        raise _nothing_at(path, checkpoint)
    refuse_lfs_pointer(path)
    if (fitting := format_of(path)) is not None:
        name = f"{path.parent.name}/{path.name}"
        return CheckpointFiles(weights=path, format=fitting, name=name), [
            files_below(path.parent, depth=0)
        ]
    _refuse_other_format(path)
    if archives.is_archive(path):
        return _find_in_folder(archives.extract(path), path.name)
    if match:
        raise CheckpointNotFoundError(
            f"{path.name} lies in {path.parent}, but {prefix.name}.index does not. A checkpoint is "
            f"its .index and its .data files together. {listing(path.parent)}"
        )
    raise CheckpointFormatError(
        f"{path} ({path.stat().st_size:,} bytes) is no checkpoint that is known. Give {_ACCEPTED}."
    )


def _near_prefix(prefix: Path) -> Neighbours:
    folders = [prefix.parent]
    if prefix.parent.name == "variables":  # a SavedModel keeps its other files beside that folder
        folders += [prefix.parent.parent / "assets", prefix.parent.parent]
    return [files_below(folder, depth=0) for folder in folders]


def _find_in_folder(root: Path, name: str) -> tuple[CheckpointFiles, Neighbours]:
    files = files_below(root, _MAX_DEPTH)
    prefixes = find_prefixes(files)
    others = [(each, found) for each in FORMATS if (found := each.find(files))]
    if not prefixes and not others:
        for path in files:
            refuse_lfs_pointer(path)
        for path in files:
            if any(path.name.startswith(each.usual) for each in FORMATS):
                _refuse_other_format(path)  # it has the name of weights: what is wrong with it
        kinds = {_OTHER_FORMATS[p.suffix] for p in files if p.suffix in _OTHER_FORMATS}
        hint = f" There is {' and '.join(sorted(kinds))}, not read here." if kinds else ""
        packed = next((path for path in files if archives.is_archive(path)), None)
        if packed:
            hint += f" {packed.name} in it is an archive itself: unpack it, and give that one."
        raise CheckpointNotFoundError(
            f"{name} holds neither a TensorFlow checkpoint, which is a pair of files, .index and "
            ".data-00000-of-00001, nor weights in another format that is read here. "
            f"{_contents(files, root)}{hint}"
        )
    depths = [_depth(found) for found in (prefixes, *(found for _, found in others)) if found]
    if prefixes and _depth(prefixes) == min(depths):
        if others:
            not_taken = others[0][1][0].name
            logger.info("%s: a TensorFlow checkpoint is taken, %s is not", name, not_taken)
        weights = choose_prefix(prefixes, files, name)
        found = CheckpointFiles(prefix=str(weights), name=name)
    else:
        upper = [(each, found) for each, found in others if _depth(found) == min(depths)]
        best, candidates = upper[0]
        weights = best.choose(candidates, files, name)
        if len(upper) > 1:
            logger.info("%s: %s is taken, %s is not", name, weights.name, upper[1][1][0].name)
        found = CheckpointFiles(weights=weights, format=best, name=name)
    parents = [weights.parent, *weights.parent.parents]
    parents = parents[: parents.index(root) + 1]
    near = [[path for path in files if path.parent == folder] for folder in parents]
    near.append([path for path in files if path.parent not in parents])
    return found, near


def _depth(paths: list[Path]) -> int:
    return min(len(path.parts) for path in paths)


def _find_config(config: PathLike) -> tuple[Path, tuple[Path, ...], Neighbours]:
    """The configuration that an argument names, all candidates, and the files near it."""
    given = as_path(config)
    if given.is_dir():
        root = given
    elif given.is_file() and archives.is_archive(given):
        root = archives.extract(given)
    elif given.is_file():
        return given, (given,), [files_below(given.parent, depth=0)]
    else:
        raise CheckpointNotFoundError(
            f"there is no config at {given}. {listing(given.parent, given.name)}"
        )
    files = files_below(root, _MAX_DEPTH)
    depths = sorted({len(path.parts) for path in files})
    near = [[path for path in files if len(path.parts) == depth] for depth in depths]
    chosen, candidates = choose_config(near, given.name)
    if chosen is None:
        raise CheckpointNotFoundError(
            f"{given.name} holds no model configuration, which is a .json with `hidden_size`. "
            f"{_contents(files, root)}"
        )
    return chosen, candidates, near


def as_path(source: PathLike) -> Path:
    """A path on disk, or where the files of a published model of that name are."""
    text = os.fspath(source)
    if not isinstance(text, str):
        raise TypeError(f"a path is expected as text or pathlib.Path. Received: {source!r}")
    if not text.strip() or "\0" in text:
        raise CheckpointNotFoundError(f"{text!r} is no path. Give {_ACCEPTED}.")
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if is_on_disk(path):
        return path
    if (files := hub.resolve(text)) is not None:
        return files
    if "://" in text:
        raise CheckpointNotFoundError(
            f"{text!r} is an address; checkpoints are read from the local disk. Download it first "
            "(for example with `wget`, or `gsutil cp -r` for gs://) and give the path. Of a "
            "repository on the Hugging Face hub, hf://user/name is read directly."
        )
    return path


def _index(prefix: Path) -> Path:
    return Path(f"{prefix}.index")


def _refuse_other_format(path: Path) -> None:
    kind = _OTHER_FORMATS.get(path.suffix.lower())
    if kind:
        raise CheckpointFormatError(
            f"{path.name} is {kind}, a format that is not read here. Give {_ACCEPTED}."
        )
    if path.name.endswith(".weights.json"):
        raise CheckpointFormatError(
            f"{path.name} lists the shards of weights that Keras 3 saved, which are not read here: "
            "load it into the model that it is of, with load_weights, and save that in one file, "
            "with save_weights('model.weights.h5')."
        )
    if path.suffix == ".json":
        raise CheckpointFormatError(
            f"{path.name} is a configuration, not weights. Pass it as `config`, and as "
            f"`checkpoint` {_ACCEPTED}."
        )
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise CheckpointFormatError(
            f"{path} ({path.stat().st_size:,} bytes) is a web page, not weights: the server "
            "answered with its login, quota or error page. Open the address in a browser, and "
            "download the file itself."
        )
    expected = [each for each in FORMATS if path.suffix.lower() in each.suffixes]
    if expected:
        expected[0].open(path)  # says what is wrong with it
        raise CheckpointFormatError(
            f"{path} ({path.stat().st_size:,} bytes) is not the {expected[0].title} file that its "
            "name says, or only a part of one. Download it again."
        )


def _nothing_at(path: Path, given: PathLike) -> CheckpointNotFoundError:
    text = os.fspath(given)
    message = f"there is no checkpoint at {path}: no such .index file, folder or archive."
    bare = os.sep not in text or (text.count("/") == 1 and not path.parent.is_dir())
    if bare and not text.startswith("~"):
        near = hub.suggestions(text)
        known = f" (like {', '.join(near)})" if near else ""
        message += (
            f" {text!r} is no name of a published model that is known here{known}: "
            f"`kerasbert hub list` shows those. Give one of them, or {_ACCEPTED}."
        )
    return CheckpointNotFoundError(f"{message} {listing(path.parent, path.name)}")


def _contents(files: list[Path], root: Path) -> str:
    return shortened([str(path.relative_to(root)) for path in files], root)
