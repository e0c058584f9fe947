"""Our configurations as the ``config.json`` of the Transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasbert.config import TransformerConfig
from kerasbert.layers.activations import canonical_names

# What Hugging Face calls our activations; "gelu" is the erf form there, in every family but T5.
_ACTIVATIONS = {
    "gelu_erf": "gelu",
    "gelu_tanh": "gelu_new",
    "relu": "relu",
    "relu_squared": "relu2",
    "swish": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "linear": "linear",
}

# Our fields that have the same names there.
_BERT = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
)
_FURTHER = {
    "albert": ("num_hidden_groups", "inner_group_num"),
    "ernie": ("use_task_id", "task_type_vocab_size"),
    "nezha": ("use_relative_position", "max_relative_position"),
    "rembert": ("output_embedding_size",),
    "roformer": ("rotary_value",),
}
# Where the width of the embeddings stands.
_WIDTH = {
    "albert": "embedding_size",
    "electra": "embedding_size",
    "roformer": "embedding_size",
    "rembert": "input_embedding_size",
}
_XLNET = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "d_inner",
    "hidden_dropout_prob": "dropout",
    "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_eps",
    "clamp_len": "clamp_len",
    "pad_token_id": "pad_token_id",
}
_T5 = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "head_size": "d_kv",
    "intermediate_size": "d_ff",
    "num_hidden_layers": "num_layers",
    "num_decoder_layers": "num_decoder_layers",
    "num_attention_heads": "num_heads",
    "relative_attention_num_buckets": "relative_attention_num_buckets",
    "relative_attention_max_distance": "relative_attention_max_distance",
    "hidden_dropout_prob": "dropout_rate",
    "layer_norm_eps": "layer_norm_epsilon",
    "initializer_factor": "initializer_factor",
    "tie_word_embeddings": "tie_word_embeddings",
    "pad_token_id": "pad_token_id",
}

_GPT = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "hidden_dropout_prob": "resid_pdrop",
    "attention_probs_dropout_prob": "attn_pdrop",
    "initializer_range": "initializer_range",
    "layer_norm_eps": "layer_norm_epsilon",
    "pad_token_id": "pad_token_id",
}

# Written anew in every export, whatever the file said that a model was loaded from.
_OWN_KEYS = {
    "architectures",
    "model_type",
    "tie_word_embeddings",
    "is_decoder",
    "is_encoder_decoder",
    "dtype",
    "torch_dtype",
    "transformers_version",
    "_name_or_path",
    "dense_act_fn",
    "is_gated_act",
    "scale_decoder_outputs",
    "quantization_config",
}


def huggingface_config(
    model_type: str, config: TransformerConfig, gelu: str, family: str
) -> dict[str, Any]:
    """The sizes and constants of a model, by Hugging Face's names.

    Args:
        model_type: whose names, such as "bert".
        config: of our model.
        gelu: what "gelu" means in it.
        family: our name, for messages.

    Raises:
        ValueError: the model is of a form that the Transformers library cannot build.
    """
    _check_heads(config, family)
    if model_type in ("t5", "mt5"):
        return {"model_type": model_type, **_t5(config, gelu)}
    activation = _activation(config, gelu, family)
    if model_type in ("gpt2", "openai-gpt"):
        return {"model_type": model_type, **_gpt(config, activation, model_type)}
    if model_type == "xlnet":
        values = {theirs: getattr(config, ours) for ours, theirs in _XLNET.items()}
        values.update(ff_activation=activation, untie_r=True)
        return {"model_type": model_type, **values}
    fields = (*_BERT, *_FURTHER.get(model_type, ()))
    values = {name: getattr(config, name) for name in fields if hasattr(config, name)}
    values["hidden_act"] = activation
    if model_type in _WIDTH:
        values[_WIDTH[model_type]] = config.embedding_width
    elif config.embedding_width != config.hidden_size:
        raise ValueError(
            f"the Transformers library has no {model_type!r} with embeddings of another width than "
            f"its hidden states. Received: embedding_size {config.embedding_width}, hidden_size "
            f"{config.hidden_size}"
        )
    values["tie_word_embeddings"] = model_type != "rembert"
    return {"model_type": model_type, **values}


def kept_keys(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's other keys stays in an export: those of a ``config.json``, such as labels.

    Args:
        extra: the keys that mean nothing to our configurations.
    """
    if "model_type" not in extra:  # not Hugging Face's json
        return {}
    return {key: value for key, value in extra.items() if key not in _OWN_KEYS}


def _check_heads(config: TransformerConfig, family: str) -> None:
    usual = config.hidden_size // config.num_attention_heads
    free = hasattr(config, "num_decoder_layers")  # T5's heads have a size of their own
    if config.key_size != config.head_size or not (free or config.head_size == usual):
        raise ValueError(
            f"the Transformers library has no model of the family {family!r} whose heads have "
            "other sizes than hidden_size / num_attention_heads. Received: attention_head_size "
            f"{config.head_size}, attention_key_size {config.key_size}"
        )


def _activation(config: TransformerConfig, gelu: str, family: str) -> str:
    name = canonical_names(config.hidden_act, gelu=gelu)
    if not isinstance(name, str):
        raise ValueError(
            f"the Transformers library has no model of the family {family!r} with gated "
            f"feed-forward networks. Received: hidden_act={config.hidden_act!r}"
        )
    return _known(name)


def _known(name: str) -> str:
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"the Transformers library has no activation {name!r}. Known there of ours: "
            f"{', '.join(_ACTIVATIONS)}."
        )
    return _ACTIVATIONS[name]


def _gpt(config, activation: str, model_type: str) -> dict[str, Any]:
    values = {theirs: getattr(config, ours) for ours, theirs in _GPT.items()}
    values["embd_pdrop"] = values["resid_pdrop"]
    values.update(bos_token_id=None, eos_token_id=None)  # the defaults there are of English GPT-2
    inner = config.intermediate_size
    if model_type == "gpt2":
        return {**values, "n_inner": inner, "activation_function": activation}
    # OpenAI's classes call the tanh form "gelu", and know no other width than four times.
    known = {"gelu_new": "gelu", "relu": "relu", "silu": "silu"}
    if activation not in known or inner != 4 * config.hidden_size or config.type_vocab_size:
        raise ValueError(
            "the Transformers library has OpenAI's GPT with the tanh form of gelu, relu or swish, "
            "with intermediate_size 4 * hidden_size, and without segments. Received: "
            f"hidden_act={config.hidden_act!r}, intermediate_size={inner}, hidden_size="
            f"{config.hidden_size}, type_vocab_size={config.type_vocab_size}"
        )
    return {**values, "afn": known[activation]}


def _t5(config, gelu: str) -> dict[str, Any]:
    values = {theirs: getattr(config, ours) for ours, theirs in _T5.items()}
    names = canonical_names(config.hidden_act, gelu=gelu)
    first, *second = [names] if isinstance(names, str) else names
    if second not in ([], ["linear"]):
        raise ValueError(
            "the Transformers library has no T5 whose second factor of a gated feed-forward network"
            f" is not linear. Received: hidden_act={config.hidden_act!r}"
        )
    if config.scale_decoder_outputs != config.tie_word_embeddings:
        raise ValueError(
            "the Transformers library scales the output of T5's decoder where the output layer is "
            "the token table, and only there. Received: scale_decoder_outputs="
            f"{config.scale_decoder_outputs}, tie_word_embeddings={config.tie_word_embeddings}"
        )
    # There "gated-gelu" alone is the tanh form.
    spelt = "gelu_python" if first == "gelu_erf" else _known(first)
    values["feed_forward_proj"] = f"gated-{spelt}".replace("gated-gelu_new", "gated-gelu")
    if not second:
        values["feed_forward_proj"] = spelt
    values.update(is_encoder_decoder=True, decoder_start_token_id=0, eos_token_id=1)
    values["decoder_start_token_id"] = config.pad_token_id
    return values
