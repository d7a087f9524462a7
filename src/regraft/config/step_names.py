"""The names of steps: ``<step>`` or ``<step>-<candidate>``, and what the steps of 0.2 are called now.

Records and stages that 0.2 wrote keep their bytes, so whoever reads one takes both names.
"""

from __future__ import annotations

RENAMED = {"finetune": "finetune-adapted", "finetune_base": "finetune-base"}
"""Steps that compute the same bytes under another name, so that `regraft init --upgrade` can move what they left."""


def current_name(step: str) -> str:
    """What the step that was recorded as ``step`` is called now."""
    return RENAMED.get(step, step)


def kind_of(step: str) -> str:
    """The step that ``step`` is an instance of, as its file declares it."""
    return current_name(step).partition("-")[0]
