"""Who says yes before a model that passed becomes champion."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from regraft.core.strict import Strict


class ApprovalOptions(Strict):
    """How `promotion: approval` is answered, with `regraft approve` or `regraft reject`."""

    within: str = Field("7d", pattern=r"^[1-9][0-9]*[mhd]$")
    """How long an answer is waited for: a number with m, h or d. After that the evidence is judged anew by the next run."""
    people: int = Field(1, ge=1, le=5)
    """How many different people have to say yes. More than one are told apart by `approvers` alone."""
    approvers: str | None = Field(None, min_length=1)
    """A file in the workspace with the people whose word counts, and their keys, as OpenSSH's `allowed_signers` has them:
    `ada@example.org ssh-ed25519 AAAA...`. Answers are signed then. Without it the name of the machine's user is taken at its word."""

    @model_validator(mode="after")
    def _people_can_be_told_apart(self) -> Self:
        if self.people > 1 and self.approvers is None:
            raise ValueError(
                f"people: {self.people} cannot be told apart without keys, as one may type for all; name the file of keys as `approvers`"
            )
        return self
