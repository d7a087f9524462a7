"""The options of a pipeline file: typed, defaulted, documented, and importable without torch."""

from regraft.config.gates import DEFAULT_GATES, DISCOVERED_SLICES, GateOptions, Holdout, NegativeFlips, seeds_of
from regraft.config.pipeline import (
    HUB,
    CardOptions,
    DataOptions,
    FinetuneOptions,
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
    "GateOptions",
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
    "seeds_of",
]
