"""What lies in a folder: for finding files, and for error messages that show what was found."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from kerasbert.checkpoints.errors import CheckpointNotFoundError

_MAX_FILES = 20_000  # a home folder given by mistake must not be walked to its end
_SHOWN = 12


def files_below(root: Path, depth: int) -> list[Path]:
    """Files in ``root`` and in folders at most ``depth`` below it, sorted.

    Hidden files are left out, and with them those that macOS adds to archives.
    """
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        if len(Path(folder).parts) - len(root.parts) >= depth:
            folders.clear()
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__MACOSX")
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > _MAX_FILES:
            raise CheckpointNotFoundError(
                f"{root} holds more than {_MAX_FILES:,} files. Give the folder of the checkpoint."
            )
    return [path for path in found if path.is_file()]


def listing(folder: Path, wanted: str = "") -> str:
    """One sentence on what a folder holds, and one on what is spelt like ``wanted``."""
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return f"The folder {folder} does not exist."
    except OSError as error:
        return f"The folder {folder} cannot be read ({error.strerror})."
    near = difflib.get_close_matches(wanted, names, n=3)
    return shortened(names, folder) + (f" Near names: {', '.join(near)}." if near else "")


def shortened(names: Sequence[str], folder: Path) -> str:
    """``names`` as a sentence that stays readable when there are many."""
    if not names:
        return f"{folder} is empty."
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Found in {folder}: {', '.join(names[:_SHOWN])}{more}."
