"""``python -m pretraining.run``: pretrains a model from a prepared corpus."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence

from tqdm.contrib.logging import logging_redirect_tqdm

from kerasbert.startup import import_models, keep_memory
from pretraining.presets import PRESETS
from pretraining.settings import Settings, add_arguments, read_file

EPILOG = """\
Settings come from --preset, then --config-file (names as the flags, with underscores), then flags.
The same command goes on with an interrupted run. Exit codes: 0 done, 3 interrupted or stopped with
a checkpoint to go on from, 1 failed, 2 wrong arguments.
"""


def parse(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, Settings]:
    """The command line: what to do, and the settings of the run.

    Raises:
        SystemExit: for --help, or arguments that cannot be.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pretraining.run",
        description=__doc__.split(": ", 1)[1],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config-file", metavar="FILE", help="settings as .yaml or .json")
    add("--preset", choices=sorted(PRESETS), help="the recipe of a published model")
    add("--list-presets", action="store_true", help="say what they are, and end")
    add("--dry-run", action="store_true", help="check everything, say what would run, and end")
    add("--quiet", action="store_true", help="no progress bar")
    add_arguments(parser.add_argument_group("settings"))
    arguments = parser.parse_args(argv)
    if arguments.list_presets:
        for name, preset in PRESETS.items():
            print(f"{name}: {preset.what}\n    {preset.source}")
        parser.exit()
    names = {field.name for field in dataclasses.fields(Settings)}
    flags = {name: value for name, value in vars(arguments).items() if name in names}
    try:
        values = read_file(arguments.config_file) if arguments.config_file else {}
        if arguments.preset:
            values["preset"] = arguments.preset
        settings = Settings.from_dict({**values, **flags}, arguments.config_file or "the settings")
    except (ValueError, TypeError, OSError, ImportError) as error:
        parser.error(str(error))
    return arguments, settings


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments, settings = parse(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("kerasbert").setLevel(logging.INFO)
    logging.getLogger("kerasbert.models.google_export").setLevel(logging.WARNING)  # of each export
    keep_memory()
    try:
        import_models()
        from pretraining.loop import Training
        from pretraining.parts import Parts
        from pretraining.planning import plan

        if arguments.dry_run:
            print("\n".join(plan(settings)))
            return 0
        with logging_redirect_tqdm():  # lines above the bar, not in it
            last = Training(Parts(settings), arguments.quiet).run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 3
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if last["done"] else 3


if __name__ == "__main__":
    sys.exit(main())
