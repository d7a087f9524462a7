"""One exception tree; each branch carries the exit code of the command line.

Errors cross process borders (Prefect pickles them, a step writes them to a file), so the message is the only
positional argument and the place of the fault is optional keyword data.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Problem(dict[str, Any]):
    """One fault in someone's input: message, file, row, column, value, rule, fix (absent keys are unknown)."""


class RegraftError(Exception):
    """Root: everything raised on purpose. The message is for a person; ``fix`` is the next command to type."""

    exit_code: ClassVar[int] = 1
    usual_fix: ClassVar[str] = "regraft doctor"
    """What to type where the one who raised it knew nothing better."""

    def __init__(self, message: str, *, fix: str | None = None, problems: list[Problem] | None = None) -> None:
        super().__init__(message)
        self.fix = fix
        self.problems = problems or []

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), self.fix, self.problems))


def _rebuild(kind: type[RegraftError], message: str, fix: str | None, problems: list[Problem]) -> RegraftError:
    return kind(message, fix=fix, problems=problems)


class ConfigError(RegraftError, ValueError):
    """A value in a pipeline file, a contract or an argument is wrong."""

    exit_code = 2


class DataRejected(RegraftError):
    """The data contract failed, or the data cannot carry the task."""

    exit_code = 3
    usual_fix = "correct the data that is named above, and run the pipeline again"


class GateFailed(RegraftError):
    """The candidate lost; the verdict holds the reasons."""

    exit_code = 4


class GateInconclusive(RegraftError):
    """The evidence does not decide; the verdict says how much more would."""

    exit_code = 5


class ApprovalPending(RegraftError):
    """A person has to say yes first, or has said no."""

    exit_code = 6
    usual_fix = "regraft status"


class Conflict(RegraftError):
    """The champion moved under us, or another run holds the pipeline."""

    exit_code = 7
    usual_fix = "regraft status"


class EnvironmentFault(RegraftError):
    """The machine, a store or a library version cannot do what was asked."""

    exit_code = 8


class Unreachable(EnvironmentFault):
    """A server does not answer; it may be there again in a while."""


class Interrupted(RegraftError):
    """A step was asked to stop; what it had done is in its checkpoint."""

    exit_code = 1


BY_NAME: dict[str, type[RegraftError]] = {
    kind.__name__: kind
    for kind in (
        RegraftError,
        ConfigError,
        DataRejected,
        GateFailed,
        GateInconclusive,
        ApprovalPending,
        Conflict,
        EnvironmentFault,
        Unreachable,
        Interrupted,
    )
}
