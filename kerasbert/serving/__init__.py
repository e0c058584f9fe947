"""Models in service: SavedModels with text in and out, ONNX files, and a small HTTP service."""

import importlib

__all__ = ["Limits", "TextService", "create_app", "export_onnx", "export_saved_model"]

# Loaded when asked for: some need packages of the extras `onnx` and `serve`.
_LAZY = {
    "Limits": "limits",
    "TextService": "service",
    "create_app": "app",
    "export_onnx": "onnx",
    "export_saved_model": "saved_model",
}


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
