"""Which configuration belongs to which of ELECTRA's two networks, and what is known of the rest."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from kerasbert.checkpoints.companions import read_config
from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.config import ConfigError

logger = logging.getLogger("kerasbert")

# Google's releases come without a json, and the variables do not show the number of heads: these
# are the numbers of all released discriminators and generators, by hidden_size.
KNOWN_HEADS = {64: 1, 192: 3, 256: 4, 312: 12, 768: 12, 1024: 16}

# What tells the json of one network from that of the other.
_OWN_SIZES = ("hidden_size", "num_hidden_layers", "intermediate_size")


def files_for(
    role: str, files: CheckpointFiles, sizes: Mapping[str, Mapping[str, int]]
) -> CheckpointFiles:
    """What was found, with the configuration of one of the two networks.

    HFL's archives hold a json for each. Where only the other's is at hand, it says what the two
    share, and the variables say the rest.

    Args:
        role: "discriminator" or "generator".
        files: what was found.
        sizes: what the variables reveal of each network, by role.
    """
    own = [path for path in files.configs if ("generator" in path.name) == (role == "generator")]
    if own and files.config_path not in own:
        files = dataclasses.replace(files, config=read_config(own[0]), config_path=own[0])
    config = files.config or {}
    if role == "generator" and config.get("generator_hidden_size") is not None:
        return dataclasses.replace(files, config=generator_config(config))
    said = {key: config[key] for key in _OWN_SIZES if config.get(key) is not None}
    if not said or said.items() <= sizes[role].items():
        return files
    other = "discriminator" if role == "generator" else "generator"
    if not said.items() <= sizes[other].items():
        return files  # of neither: loading will say what does not fit
    logger.warning(
        "%s describes the %s: the sizes of the %s are read from the variables",
        *(files.config_path or "The configuration", other, role),
    )
    shared = {k: v for k, v in config.items() if k not in (*_OWN_SIZES, "num_attention_heads")}
    return dataclasses.replace(files, config=shared)


def generator_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The generator's configuration by the rule of Google's pretraining code.

    Args:
        config: the discriminator's, with ``generator_hidden_size`` (and ``generator_layers``), the
            generator's share of its width (and depth), above 0 and at most 1.

    Raises:
        ConfigError: for shares out of that range, or without the sizes that they are of.
    """
    shares = {
        "hidden_size": config["generator_hidden_size"],
        "num_hidden_layers": config.get("generator_layers", 1.0),
    }
    sizes = {}
    for key, share in shares.items():
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
            raise ConfigError(
                "generator_hidden_size and generator_layers are the generator's share of the "
                f"discriminator's size, above 0 and at most 1. Received: {share!r}"
            )
        if not isinstance(config.get(key), int):
            raise ConfigError(
                f"generator_hidden_size is a share of the discriminator's sizes, but {key} is not "
                f"given. Received keys: {sorted(config)}"
            )
        sizes[key] = max(1, round(config[key] * share))
    own = dict(config)
    for key in ("generator_hidden_size", "generator_layers"):
        own.pop(key, None)
    return {
        **own,
        "embedding_size": config.get("embedding_size") or config["hidden_size"],
        **sizes,
        "intermediate_size": 4 * sizes["hidden_size"],
        "num_attention_heads": max(1, sizes["hidden_size"] // 64),
    }
