"""Whose agents run a pipeline."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from regraft.core.strict import Strict

POOL = "regraft"
"""The work pool of pipelines that name none."""
Pool = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")]


class AgentOptions(Strict):
    """Work pools of a Prefect server (`regraft agent start --pool NAME`) whose agents run the pipeline, from `regraft deploy` on."""

    cpu: Pool = POOL
    """Where a run begins, and every step that needs no GPU."""
    gpu: Pool | None = None
    """Where steps that train or answer run: on other machines, which share a store and a DVC remote with this one. Left out: in `cpu`."""

    @property
    def elsewhere(self) -> str | None:
        """The pool for GPU steps, where it is another one."""
        return self.gpu if self.gpu != self.cpu else None
