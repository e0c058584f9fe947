"""The configuration of an ALBERT, and what its releases tell where files are in doubt."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasbert.checkpoints.source import CheckpointFiles
from kerasbert.config import ConfigError, TransformerConfig

logger = logging.getLogger("kerasbert")

# Layers of the releases: variables that all layers share cannot tell how many there are.
RELEASED_LAYERS = {"tiny": 4, "small": 6, "base": 12, "large": 24, "xlarge": 24, "xxlarge": 12}
_RELEASE = re.compile(
    rf"albert(?:[-_](?:config|chinese|google|zh))*[-_]({'|'.join(RELEASED_LAYERS)})(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AlbertConfig(TransformerConfig):
    """Sizes and constants of an ALBERT.

    Attributes:
        num_hidden_groups: number of groups of layers; the layers of a group share their blocks.
        inner_group_num: blocks per layer.
        layer_groups: the group of each layer; None is the rule of Google's code, runs of equal
            length.
        project_equal_width: whether a projection follows the embeddings even where they are as
            wide as the hidden states: in Hugging Face's files it does, in Google's not.
    """

    num_hidden_groups: int = 1
    inner_group_num: int = 1
    layer_groups: tuple[int, ...] | None = None
    project_equal_width: bool = False

    def __post_init__(self):
        super().__post_init__()
        self._check_integer("num_hidden_groups", minimum=1)
        self._check_integer("inner_group_num", minimum=1)
        if self.layer_groups is None:
            return
        object.__setattr__(self, "layer_groups", tuple(self.layer_groups))
        allowed = range(self.num_hidden_groups)
        if len(self.layer_groups) != self.num_hidden_layers or not set(self.layer_groups) <= set(
            allowed
        ):
            raise ConfigError(
                f"layer_groups must give each of the {self.num_hidden_layers} layers one of the "
                f"{self.num_hidden_groups} groups, 0 to {self.num_hidden_groups - 1}. Received: "
                f"{self.layer_groups!r}"
            )

    @property
    def groups(self) -> tuple[int, ...]:
        """The group of each layer."""
        return self.layer_groups or google_groups(self.num_hidden_layers, self.num_hidden_groups)

    @property
    def maps_embeddings(self) -> bool:
        return super().maps_embeddings or self.project_equal_width

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the configuration"):
        """Reads a configuration; see :meth:`TransformerConfig.from_dict`.

        In a json of Hugging Face, which has a ``model_type``, "gelu" means the erf form.
        """
        if "model_type" in values and values.get("hidden_act") == "gelu":
            values = {**values, "hidden_act": "gelu_erf"}
        try:
            return super().from_dict(values, source)
        except ConfigError as error:
            if values.get("num_hidden_layers") is not None:
                raise
            layers = ", ".join(f"{size} {count}" for size, count in RELEASED_LAYERS.items())
            raise ConfigError(
                f"{error} The variables of an ALBERT, which all layers share, cannot tell "
                f"num_hidden_layers (the releases have: {layers})."
            ) from None

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        # Where it is left out, other readers take it for 128.
        values["embedding_size"] = self.embedding_size or self.hidden_size
        for name in ("layer_groups", "project_equal_width"):
            if not values[name]:
                del values[name]
        return values


def google_groups(num_hidden_layers: int, num_hidden_groups: int) -> tuple[int, ...]:
    """The group of each layer by the rule of Google's code."""
    return tuple(i * num_hidden_groups // num_hidden_layers for i in range(num_hidden_layers))


def with_first_layers(config: AlbertConfig, files: CheckpointFiles) -> AlbertConfig:
    """The first layers of a deeper model keep the groups that they have in it."""
    depth = (files.config or {}).get("num_hidden_layers")
    if config.layer_groups is not None or not isinstance(depth, int):
        return config
    groups = google_groups(depth, config.num_hidden_groups)[: config.num_hidden_layers]
    if groups == config.groups or depth < config.num_hidden_layers:
        return config
    return dataclasses.replace(config, layer_groups=groups)


def doubt_number_of_layers(config: AlbertConfig, files: CheckpointFiles) -> None:
    """Logs a warning where files are named like a release that has another number of layers.

    The published albert_config_tiny_g.json says 1 beside a model of 4.
    """
    places = [files.name]
    if files.prefix:
        places += [folder.name for folder in list(Path(files.prefix).parents)[:2]]
    if files.config_path:
        places.append(files.config_path.name)
    size = next((match[1].lower() for match in map(_RELEASE.search, places) if match), None)
    said = config.num_hidden_layers
    if size is None or RELEASED_LAYERS[size] == said:
        return
    logger.warning(
        "%s says num_hidden_layers=%d, but albert_%s was released with %d layers; the variables, "
        "which all layers share, cannot tell. If this is that release, pass num_hidden_layers=%d; "
        "if not, pass num_hidden_layers=%d, and this warning is not shown.",
        *(files.config_path or "The configuration", said, size),
        *(RELEASED_LAYERS[size], RELEASED_LAYERS[size], said),
    )
