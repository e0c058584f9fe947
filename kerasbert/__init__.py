"""kerasbert: published BERT-like checkpoints as Keras models."""

from kerasbert import backend  # noqa: F401  (first: says plainly when versions do not fit)
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.models.factory import build_transformer_model, list_models, register_model

__version__ = "0.1.0.dev0"

__all__ = [
    "ConfigError",
    "TransformerConfig",
    "build_transformer_model",
    "list_models",
    "register_model",
]
