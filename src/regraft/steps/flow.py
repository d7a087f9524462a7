"""A run as its flow sees it: steps through DVC, the decision on their evidence, the release of what earned it."""

from __future__ import annotations

from regraft.config.pipeline_file import load_pipeline as load_pipeline
from regraft.config.resolved_file import read_resolved as read_resolved
from regraft.core import empty_database as empty_database
from regraft.core import limits as limits
from regraft.core import lock as lock
from regraft.core.child import end_with_parent as end_with_parent
from regraft.core.energy import spent as spent
from regraft.core.errors import ConfigError as ConfigError
from regraft.core.errors import Conflict as Conflict
from regraft.core.errors import EnvironmentFault as EnvironmentFault
from regraft.core.errors import Interrupted as Interrupted
from regraft.core.errors import RegraftError as RegraftError
from regraft.core.errors import Unreachable as Unreachable
from regraft.core.progress import STOP as STOP
from regraft.core.quantities import size as size
from regraft.core.redacted import redacted as redacted
from regraft.core.uncollected import uncollected as uncollected
from regraft.core.workspace import Workspace as Workspace
from regraft.data.options import listed as listed
from regraft.execution import deployments as deployments
from regraft.execution import gpu_slots as gpu_slots
from regraft.execution import handover as handover
from regraft.execution import shared_step as shared_step
from regraft.execution import supervise as supervise
from regraft.execution.clones import clone_of as clone_of
from regraft.execution.composition import for_the_chosen as for_the_chosen
from regraft.execution.composition import steps as steps
from regraft.execution.composition import steps_in as steps_in
from regraft.execution.deployments import FLOW_RUN as FLOW_RUN
from regraft.execution.flow_main import run_flow as run_flow
from regraft.execution.launch import Event as Event
from regraft.execution.remote_checkpoints import mirrored as mirrored
from regraft.execution.repro import EarlyStep as EarlyStep
from regraft.execution.repro import Outcome as Outcome
from regraft.execution.repro import Run as Run
from regraft.execution.repro import run_step_with_dvc as run_step_with_dvc
from regraft.execution.withheld import COUNTED_BY as COUNTED_BY
from regraft.execution.withheld import counted_by as counted_by
from regraft.production import inbox as inbox
from regraft.production import release as release
from regraft.registry.curves import Curves as Curves
from regraft.registry.tracking import FLOW_PAGE as FLOW_PAGE
from regraft.registry.tracking import Tracker as Tracker
from regraft.upkeep.demo import verified as verified
