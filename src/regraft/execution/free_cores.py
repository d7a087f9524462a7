"""What ``plan`` says of cores that no shard is left for: a batch in two parts is computed by two cores, whatever else there is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from regraft.core.quantities import first_of

ENOUGH = 2
"""So many times the cores that shards keep busy have to be there before it is worth other models."""


def sentence(resolved: Mapping[str, Any], due: Collection[str], cores: int) -> str | None:
    """How many of ``cores`` each step in ``due`` trains on, and the key that gives it more; None: most of them, or none is in shards."""
    few: dict[int, list[str]] = {}
    for step in due:
        section = resolved.get(step, {})
        options = section.get("pretrain") or section.get("finetune") or {}
        shards = options.get("shards", 1)
        if shards > 1:  # cores share the parts of an accumulation as well
            shards = max(shards, options.get("gradient_accumulation", 1))
        if shards > 1 and ENOUGH * shards <= cores:
            few.setdefault(shards, []).append(step)
    if not few:
        return None
    used = "; ".join(f"{first_of(steps)} on {shards}" for shards, steps in sorted(few.items()))
    more = min(64, 1 << (cores.bit_length() - 1))
    return f"of {cores} cores: {used}. `shards: {more}` below `pretrain` and `finetune` uses more, and makes other models"
