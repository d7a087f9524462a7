"""The options of a pipeline file: typed, defaulted, documented, and importable without torch."""

from regraft.config.gates import DEFAULT_GATES, DISCOVERED_SLICES, Forgetting, GateOptions, Holdout, NegativeFlips
from regraft.config.pipeline import (
    HUB,
    CardOptions,
    DataOptions,
    FinetuneOptions,
    GeneralText,
    NotifyOptions,
    Paths,
    PipelineContext,
    PipelineOptions,
    PretrainOptions,
    SplitOptions,
    StepConfig,
    TaskOptions,
    listed,
)
from regraft.config.strict import Strict

__all__ = [
    "DEFAULT_GATES",
    "DISCOVERED_SLICES",
    "HUB",
    "CardOptions",
    "DataOptions",
    "FinetuneOptions",
    "Forgetting",
    "GateOptions",
    "GeneralText",
    "Holdout",
    "NegativeFlips",
    "NotifyOptions",
    "Paths",
    "PipelineContext",
    "PipelineOptions",
    "PretrainOptions",
    "SplitOptions",
    "StepConfig",
    "Strict",
    "TaskOptions",
    "listed",
]
