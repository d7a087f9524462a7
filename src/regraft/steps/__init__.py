"""All that a workspace's own ``tasks/``, ``flows/`` and ``pipelines/`` import: modules inside regraft move, these names stay.

====================================  ====================================================================================
:mod:`regraft.steps`                  what a step is made of: its handle, its section, its evidence, its progress
:mod:`regraft.steps.options`          parts of the pipeline file that a step's section may hold
:mod:`regraft.steps.data`             rows and documents: read, validated, split, packed
:mod:`regraft.steps.training`         pretraining and fine-tuning, and what encoders kept
:mod:`regraft.steps.evaluation`       predictions, and what gates ask to have measured
:mod:`regraft.steps.flow`             a run: its steps through DVC, its decision, its release
====================================  ====================================================================================

This module and ``options`` are light. Import the others inside functions: they load pandas, and torch when they run.
"""

from __future__ import annotations

from regraft.config.candidates import Candidate as Candidate
from regraft.config.pipeline import PipelineContext as PipelineContext
from regraft.config.pipeline import PipelineOptions as PipelineOptions
from regraft.config.pipeline import StepConfig as StepConfig
from regraft.core import files as files
from regraft.core import progress as progress
from regraft.execution.step import NEVER as NEVER
from regraft.execution.step import ONCE as ONCE
from regraft.execution.step import Cost as Cost
from regraft.execution.step import First as First
from regraft.execution.step import Instances as Instances
from regraft.execution.step import Metrics as Metrics
from regraft.execution.step import Output as Output
from regraft.execution.step import Step as Step
from regraft.execution.step import each_candidate as each_candidate
from regraft.execution.step import evidence as evidence
