"""How the rate goes through the steps of a phase: shares of the peak rate, each a function of the step alone.

All begin with a rise, also where a model has been trained before: a rate that starts at its peak undoes more of what was learned than one
that is warmed up again (Gupta et al. 2023, "Continual Pre-Training of Large Language Models: How to (re)warm your model?").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

Schedule = Literal["linear", "cosine", "slanted", "wsd"]
"""Names of them."""
WARMUP = 0.06
"""Share of the steps in which the rate rises (Liu et al. 2019, "RoBERTa", table 10)."""
CUT, RATIO = 0.1, 32
"""Of ``slanted``: the same, and how many times the lowest rate the peak is (ULMFiT, section 3.2)."""
COOLDOWN = 0.2
"""Of ``wsd``: share of the steps in which the rate falls."""


def factor_of(name: Schedule, steps: int) -> Callable[[int], float] | None:
    """Step -> share of the peak rate in a phase of so many ``steps``; None: ``linear``, which is the loop's own."""
    return None if name == "linear" else partial({"cosine": cosine, "slanted": slanted, "wsd": wsd}[name], steps=steps)


def cosine(step: int, steps: int) -> float:
    """Half a cosine down to 0 (Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5)."""
    top = rise(steps)
    return min((step + 1) / top, (1 + math.cos(math.pi * max(0, step - top) / max(1, steps - top))) / 2)


def slanted(step: int, steps: int) -> float:
    """A tenth of the steps up, the others down to 1/32 (ULMFiT, equation 3, of which step 0 is not 0 here)."""
    top = max(1, int(steps * CUT))
    share = (step + 1) / top if step < top else 1 - (step + 1 - top) / max(1, steps - top)
    return (1 + share * (RATIO - 1)) / RATIO


def wsd(step: int, steps: int) -> float:
    """Up, at the peak for most of the steps, and down to 0 in the last fifth: warm-up, stable, decay (Hu et al. 2024, "MiniCPM").

    A linear fall over a fifth is among those of Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations".
    """
    return min((step + 1) / rise(steps), 1.0, (steps - step) / max(1, round(COOLDOWN * steps)))


def rise(steps: int) -> int:
    """Steps, of so many, in which the rate rises."""
    return max(1, round(WARMUP * steps))
