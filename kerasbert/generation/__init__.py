"""Text from text: greedy, sampled and by beam search, with a cache, compiled."""

from kerasbert.generation.generator import Generation, TextGenerator, generate, stream
from kerasbert.generation.options import GenerationOptions

__all__ = ["Generation", "GenerationOptions", "TextGenerator", "generate", "stream"]
