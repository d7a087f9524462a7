"""Who is told how a run ended: by the run itself, or by the Prefect server that started it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from regraft.core.strict import Strict

About = Literal["passed", "failed", "inconclusive", "waiting", "crashed"]


class NotifyOptions(Strict):
    """Who is told of a verdict, and of how runs by themselves end. A notification that fails is a warning and fails no run."""

    command: str | None = Field(None, min_length=1)
    """A shell command, run in the workspace on every verdict, with the verdict as JSON on its stdin."""
    webhook: str | None = None
    """An http address that gets the same JSON by POST. `${NAME}` is taken from the environment, where secrets belong."""
    seconds: float = Field(10.0, gt=0, le=300)
    """Most seconds that a command, and a webhook, may take."""
    block: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*$")] | None = None
    """A notification block of the Prefect server, as TYPE/NAME: `slack-webhook/ops`. From `regraft deploy` on the server sends a message
    through it where a run by itself ends in one of the ways in `about`; also where its agent is gone, of which no run can tell."""
    about: tuple[About, ...] = Field(("failed", "inconclusive", "waiting", "crashed"), min_length=1)
    """What `block` is told of: `failed` (a gate, or an error), `inconclusive`, `waiting` (for a person's yes), `crashed`, `passed`."""

    @field_validator("webhook")
    @classmethod
    def _is_an_address(cls, webhook: str | None) -> str | None:
        if webhook is not None and not webhook.startswith(("http://", "https://", "$")):
            raise ValueError("write http://..., https://... or ${NAME} of a variable that holds the address")
        return webhook

    @model_validator(mode="after")
    def _someone_is_told(self) -> Self:
        if self.command is None and self.webhook is None and self.block is None:
            raise ValueError("write at least one of `command: ...`, `webhook: https://...` and `block: slack-webhook/NAME`")
        if self.block is None and "about" in self.model_fields_set:
            raise ValueError("`about` says what `block` is told of: write `block: slack-webhook/NAME`, or leave `about` out")
        return self

    @property
    def hooks(self) -> dict[str, object] | None:
        """What a run itself calls; None: nothing."""
        if self.command is None and self.webhook is None:
            return None
        return self.model_dump(mode="json", include={"command", "webhook", "seconds"}, exclude_none=True)
