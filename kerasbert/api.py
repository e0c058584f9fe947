"""What `import kerasbert` gives."""

from kerasbert import data, layers, optimizers, tasks
from kerasbert.config import ConfigError, TransformerConfig
from kerasbert.convert import convert
from kerasbert.embedding import TextEncoder
from kerasbert.generation import TextGenerator, generate, stream
from kerasbert.models import families  # noqa: F401  (registers them)
from kerasbert.models.factory import build_transformer_model
from kerasbert.models.huggingface_export import save_as_huggingface
from kerasbert.models.registry import list_models, register_model
from kerasbert.models.weights import save_weights_as_checkpoint
from kerasbert.serving import export_onnx, export_saved_model
from kerasbert.tokenizers import Tokenizer
from kerasbert.tokenizers.layer import TokenizerLayer

__all__ = [
    "ConfigError",
    "TextEncoder",
    "TextGenerator",
    "Tokenizer",
    "TokenizerLayer",
    "TransformerConfig",
    "build_transformer_model",
    "convert",
    "data",
    "export_onnx",
    "export_saved_model",
    "generate",
    "layers",
    "list_models",
    "optimizers",
    "register_model",
    "save_as_huggingface",
    "save_weights_as_checkpoint",
    "stream",
    "tasks",
]
