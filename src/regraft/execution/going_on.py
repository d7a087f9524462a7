"""The command that goes on with a run: with overrides or another flag left out, another run would start."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from regraft.core.errors import Problem, RegraftError


def command(pipeline: str, sets: Sequence[str] = (), *, allow_inexact: bool = False) -> str:
    """``regraft run`` as it was typed, quoted for a shell."""
    overrides = [word for item in sets for word in ("--set", item)]
    return shlex.join(["regraft", "run", pipeline, *overrides, *["--allow-inexact"] * allow_inexact])


def restated(error: RegraftError, pipeline: str, again: str) -> RegraftError:
    """``error`` with ``again`` for the plain command of ``pipeline``, which is all that steps and stores know."""
    plain = re.compile(rf"\b{re.escape(command(pipeline))}\b(?! --set)")

    def mended(text: Any) -> Any:
        return plain.sub(lambda _: again, text) if isinstance(text, str) else text

    problems = [Problem({key: mended(value) for key, value in problem.items()}) for problem in error.problems]
    return type(error)(mended(str(error)), fix=mended(error.fix), problems=problems)
