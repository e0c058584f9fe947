"""What the Transformers library's classes compute in another way than a model of ours."""

from __future__ import annotations

from collections.abc import Collection

from kerasbert.layers.activations import canonical_names
from kerasbert.models.extraction import Extracted
from kerasbert.models.huggingface_classes import Architecture
from kerasbert.models.task_head import activation_of


def differences(
    found: Extracted, architecture: Architecture, parts: Collection[str], gelu: str
) -> list[str]:
    """Sentences on what is not the same there.

    Args:
        found: the transformer.
        architecture: the classes that it is written for.
        parts: that it has beside its body.
        gelu: what "gelu" means in it.

    Raises:
        ValueError: the classes could not compute what the model does.
    """
    layers, family = found.layers, found.family.family
    attention = [layer for name, layer in layers.items() if name.endswith("SelfAttention")]
    refused = None
    if any(getattr(layer, "residual_scores", False) for layer in attention):
        refused = "residual_attention_scores"
    elif "Embedding-Token-Segment" in layers and "Embedding-Segment" not in layers:
        refused = "shared_segment_embeddings"
    elif _has_cross_bias(layers.get("Decoder-Embedding-Relative-Position")):
        refused = "cross_position_bias"
    if refused:
        raise ValueError(
            f"the Transformers library has no model of the family {family!r} with {refused}. Save "
            "it in Google's format (save_weights_as_checkpoint) or as a Keras model."
        )
    activation = canonical_names(found.config.hidden_act, gelu=gelu)
    if architecture.fixed_gelu and "mlm" in parts and activation != "gelu_erf":
        raise ValueError(
            f"the MLM head of {architecture.stem} is always gelu (the exact form) in the "
            f"Transformers library, but this model's is {activation!r}. Build it without with_mlm "
            "to save its body."
        )
    notes = []
    pooler = layers.get("Pooler-Dense")
    if pooler is not None and activation_of(pooler) != "tanh":
        notes.append(
            f"the pooler is {activation_of(pooler)!r} here and always tanh there: only the hidden "
            "states are the same."
        )
    if "Attention-UniLM-Mask" in layers:
        notes.append(
            "the mask of UniLM is not saved: there, every token sees every other unless a mask "
            "(batch, length, length) is passed."
        )
    if "Decoder-Output-Scale" in layers and "lm" not in parts:
        notes.append("the decoder's hidden states are multiplied by hidden_size ** -0.5 here only.")
    if family == "nezha":
        notes.append("NEZHA is in transformers 4 (such as 4.41) and no longer in 5.")
    return notes


def _has_cross_bias(layer) -> bool:
    """Whether T5's distances were used between target and source as well."""
    nodes = getattr(layer, "_inbound_nodes", None) or ()
    for node in nodes:
        keywords = getattr(node, "call_kwargs", None)
        if keywords is None:
            keywords = node.arguments.kwargs
        if keywords.get("across"):
            return True
    return False
