"""Processes that share a training to the bits of one: those that ``torchrun`` started on one machine or several, or that a step did.

Ranks are subtrees of the tree that a step's parts are added in (:mod:`regraft.training.parts`), as workers are inside a rank: rank r of R
computes the r-th R-th of the parts. Their sums are exchanged in pairs, level by level of that tree (a + b is b + a to the bit), then every
rank takes the whole step on weights of its own. Rank 0 alone keeps checkpoints and reports; where it begins, the others begin. A rank
that ends, however, ends the step of all others, and the training goes on from the checkpoint with any number of ranks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from torch import Tensor

from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.progress import current
from regraft.models.machine import Machine

T = TypeVar("T")
PATIENCE = timedelta(minutes=10)
"""How long a rank waits for one that answers no more; one that has ended is told at once."""


@dataclass(frozen=True)
class Ranks:
    """Who shares a training; alone, every exchange gives back what it is given."""

    number: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """What torchrun's environment says, connected through gloo; alone without it."""
        named = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if not all(os.environ.get(name) for name in named) or (count := int(os.environ["WORLD_SIZE"])) == 1:
            return cls()
        import torch
        from torch import distributed

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ["RANK"])) % torch.cuda.device_count())
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=PATIENCE)
        return cls(int(os.environ["RANK"]), count)

    @staticmethod
    def leave() -> None:
        """Be alone again, where :meth:`here` had connected this process."""
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this rank keeps checkpoints and reports."""
        return self.number == 0

    def require(self, machine: Machine) -> None:
        """Refuse what cannot give the bits of one rank.

        :raises ConfigError: batches are not computed in so many parts.
        :raises EnvironmentFault: a rank is on a machine of another kind.
        """
        if self.count == 1:
            return
        if machine.shards % self.count or self.count & (self.count - 1):
            raise ConfigError(
                f"{self.count} ranks cannot share batches of {machine.shards} parts: "
                "2, 4, 8 ... ranks can, at most as many as there are parts",
                fix=f"shards: {1 << (self.count - 1).bit_length()}",
            )
        for number, other in enumerate(self.gather(machine)):
            if difference := machine.differs(other):
                raise EnvironmentFault(
                    f"ranks {number} (then) and {self.number} (now) of one training would give other bits: {difference}",
                    fix="start all ranks on machines of one kind",
                )

    def gather(self, value: T) -> list[T]:
        """The ``value`` of every rank, in their order."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[T | None] = [None] * self.count
        with _told():
            distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are there now

    def of_first(self, value: T) -> T:
        """What rank 0 has."""
        if self.count == 1:
            return value
        from torch import distributed

        values = [value]
        with _told():
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def add(self, sums: Sequence[Tensor]) -> None:
        """Put the sum of all ranks into ``sums``, as the tree has it."""
        import torch
        from torch import distributed

        distance = 1
        while distance < self.count:
            partner = self.number ^ distance
            for own in sums:
                mine = own.cpu()  # gloo sends what lies in the machine's memory; a tensor that does is not copied
                other = torch.empty_like(mine)
                with _told():
                    pending = [distributed.isend(mine, partner), distributed.irecv(other, partner)]
                    for each in pending:
                        each.wait()  # type: ignore[union-attr]
                own.add_(other.to(own.device))
            distance *= 2


ALONE = Ranks()


@contextmanager
def _told() -> Iterator[None]:
    """What gloo says of a rank that is gone, as a fault of the environment."""
    try:
        yield
    except RuntimeError as error:
        raise EnvironmentFault(
            f"another of the ranks that share this training ended ({str(error).splitlines()[0]}); its checkpoints are kept",
            fix=f"regraft run {current().pipeline or 'PIPELINE'}",
        ) from error
