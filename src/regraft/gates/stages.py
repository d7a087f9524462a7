"""The encoders that are asked what a model has lost: the base model as it came, and what it became on the way to a candidate."""

from __future__ import annotations

from collections.abc import Collection

MODELS = ("adapted", "base")
"""The candidates of a pipeline file that names none."""
PRETRAINED = "came"
"""The base model as it came: what every other stage is held against."""
STAGES = (PRETRAINED, "adapted", "finetune", "finetune_base")
STAGE_WORDS = {
    PRETRAINED: "as the base model came",
    "adapted": "after adaptation",
    "finetune": "after adaptation and fine-tuning",
    "finetune_base": "after fine-tuning without adaptation",
}
_PATHS = {"adapted": (PRETRAINED, "adapted", "finetune"), "base": (PRETRAINED, "finetune_base")}


def path_of(candidate: str, measured: Collection[str]) -> tuple[str, ...]:
    """The stages that a candidate went through, of those that were ``measured``; with one candidate that is all of them."""
    return _PATHS[candidate] if candidate in _PATHS and {*_PATHS[candidate]} <= {*measured} else tuple(measured)


def words_of(stage: str) -> str:
    """When something was measured."""
    return STAGE_WORDS.get(stage, "after fine-tuning")
