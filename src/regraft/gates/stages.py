"""The encoders that are asked what a model has lost: the base model as it came, and what it became on the way to a candidate."""

from __future__ import annotations

MODELS = ("adapted", "base")
"""The candidates: both answer what is asked of changed texts, and both are trained under several seeds."""
PRETRAINED = "came"
"""The base model as it came: what every other stage is held against."""
STAGES = (PRETRAINED, "adapted", "finetune", "finetune_base")
STAGE_WORDS = {
    PRETRAINED: "as the base model came",
    "adapted": "after adaptation",
    "finetune": "after adaptation and fine-tuning",
    "finetune_base": "after fine-tuning without adaptation",
}
PATHS = {"adapted": (PRETRAINED, "adapted", "finetune"), "base": (PRETRAINED, "finetune_base")}
"""Candidate -> the stages it went through."""
