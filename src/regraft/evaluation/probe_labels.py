"""Labels that a user's templates expect have to be labels of the data; said as early as it can be known.

Where the data contract lists the labels, that is when the pipeline is resolved (:mod:`regraft.config.named_files`); where it
does not, at the end of the step `contract`, which has read them. The step `probes` asks again, for workspaces whose
own `contract` does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from regraft.core import suggest
from regraft.core.errors import ConfigError


def guess(label: str, known: Collection[str]) -> str:
    """What ``label``, which is not ``known``, may have meant, to stand at the end of a sentence."""
    return suggest.guess(label, sorted(known), otherwise=f". Known: {', '.join(sorted(known))}")


def require_labels(expected: Iterable[str], known: Collection[str]) -> None:
    """ConfigError for the first label of ``expected`` that no labelled row has."""
    for label in expected:
        if label not in known:
            message = f"templates: a test expects the label {label!r}, which no labelled row has{guess(label, known)}"
            raise ConfigError(message, fix="edit the file that the gate `templates` names")
