"""Where a pipeline's drops arrive by themselves."""

from __future__ import annotations

from pydantic import Field

from regraft.config.agents import Pool
from regraft.config.schedule import Times, seconds
from regraft.core.strict import Strict


class InboxOptions(Strict):
    """A place where people leave drops: `regraft handoff PIPELINE` takes in what is whole, and so does a deployment on its schedule."""

    path: str = Field(min_length=1)
    """A folder, or `s3://bucket/prefix`. Each file or folder in it is a drop; none is ever changed or moved."""
    settle: str = Field("1m", pattern=r"^[0-9]+[smhd]$")
    """A drop without checksums is whole when nothing of it has changed for so long."""
    checksums: bool = False
    """Read only drops with checksums, as `sha256sum` writes them: `SHA256SUMS` in a folder, `may.csv.sha256` beside a file. A drop that has
    some is whole when all of them agree, without waiting."""
    schedule: Times = Times(interval="5m")
    """When the inbox is looked into, from `regraft deploy` on."""
    pool: Pool | None = None
    """Work pool of the one agent that takes in what has come, in the clone where people look for its commits. Left out: where runs are."""

    @property
    def settle_seconds(self) -> int:
        """``settle`` as a number."""
        return seconds(self.settle)
