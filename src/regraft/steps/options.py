"""Parts of the pipeline file that a step's section may hold."""

from __future__ import annotations

from regraft.core.strict import Strict as Strict
from regraft.data.contract import Contract as Contract
from regraft.data.options import EarlierRows as EarlierRows
from regraft.data.options import GeneralText as GeneralText
from regraft.data.options import Paths as Paths
from regraft.data.options import SideRows as SideRows
from regraft.data.options import SplitOptions as SplitOptions
from regraft.data.options import TaskOptions as TaskOptions
from regraft.evaluation.probe_options import Invariance as Invariance
from regraft.evaluation.probe_options import TemplateTest as TemplateTest
from regraft.gates.options import seeds_of as seeds_of
from regraft.gates.registry import needs_step as needs_step
from regraft.training.options import AbstainOptions as AbstainOptions
from regraft.training.options import FinetuneOptions as FinetuneOptions
from regraft.training.options import PretrainOptions as PretrainOptions
from regraft.training.plugins import versions_of as versions_of
