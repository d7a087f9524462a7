"""The options of a pipeline file: typed, defaulted, documented, and importable without torch."""

from regraft.config.gates import DEFAULT_GATES, DISCOVERED_SLICES, Calibration, GateOptions, Holdout, NegativeFlips, ServingCost
from regraft.config.pipeline import (
    HUB,
    AbstainOptions,
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
    "AbstainOptions",
    "Calibration",
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
    "ServingCost",
    "SplitOptions",
    "StepConfig",
    "Strict",
    "TaskOptions",
    "listed",
]
