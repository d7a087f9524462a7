"""Families of models: architectures that can be taken apart alike. One file each; a registry names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from regraft.core import files
from regraft.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from regraft.data.packing import Frame


class ModelFamily(Protocol):
    """What training has to know of an architecture. Importing a family loads no torch: `regraft plan` asks for its types."""

    name: str
    version: int
    """Raised when models of the family may be taken apart otherwise."""
    stands_for: frozenset[str]
    """Names of the families whose objectives and task types fit its models; its own, where some are made for it alone."""
    model_types: frozenset[str]
    """The ``model_type`` of config.json of its models."""
    pretrained: str
    """The class of transformers that builds its models with the head they are pretrained under."""
    objective: str
    """What its models are adapted by where the pipeline file names no objective."""
    method: str
    """What they are fine-tuned by where it names no method."""

    def frame(self, tokenizer: PreTrainedTokenizerBase) -> Frame:
        """What is put round documents and sequences when text is packed for its models."""

    def body(self, model: PreTrainedModel) -> nn.Module:
        """The model without any head: what a probe reads, and what stays frozen while a new head warms up."""

    def head(self, model: PreTrainedModel) -> list[nn.Module]:
        """The modules of a task model's head, those included that the base model has but that were trained for something else."""

    def layers(self, model: PreTrainedModel) -> nn.Module:
        """The stack of layers between embeddings and head: what adapters are put into."""


FAMILIES: Registry[ModelFamily] = Registry(
    "regraft.families",
    "model family",
    {
        "encoder": "regraft.models.families.encoder:ENCODER",
        "decoder": "regraft.models.families.decoder:DECODER",
        "encoder_decoder": "regraft.models.families.encoder_decoder:ENCODER_DECODER",
    },
)


def family_of(model_type: str) -> ModelFamily | None:
    """The family of a ``model_type``; None: none knows it."""
    return next((FAMILIES[name] for name in FAMILIES if model_type in FAMILIES[name].model_types), None)


def family(model: PreTrainedModel) -> ModelFamily:
    """The family of a model. KeyError where none knows it, which :func:`regraft.models.base_model.check` refuses before."""
    known = family_of(model.config.model_type)
    if known is None:
        raise KeyError(model.config.model_type)
    return known


def family_in(folder: Path) -> ModelFamily:
    """The family of the model in ``folder``. KeyError where none knows it."""
    model_type = str(files.read_json(folder / "config.json").get("model_type"))
    known = family_of(model_type)
    if known is None:
        raise KeyError(model_type)
    return known


def frame_in(folder: Path) -> Frame:
    """What packing puts round documents and sequences for the model in ``folder``."""
    from regraft.models import tokenizer

    return family_in(folder).frame(tokenizer.load(folder))
