"""The model that every key of a pipeline file is read by."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Frozen; unknown keys are errors; the docstring under a field is its description in the JSON schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)
