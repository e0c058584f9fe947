"""kerasbert: published BERT-like checkpoints as Keras models."""

import importlib
import importlib.util

from kerasbert.startup import import_backend, is_command

__version__ = "0.1.0.dev0"

if not is_command():  # commands import what they need
    import_backend(verbose=True)  # first: it says plainly when versions do not fit
    from kerasbert.api import *  # noqa: F403
    from kerasbert.api import __all__  # noqa: F401


def __getattr__(name: str):
    """What is not here yet, in a command that runs a user's module."""
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is None:
        import_backend(verbose=False)
        api = importlib.import_module(f"{__name__}.api")
        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
