"""Rows that tested until they had decided too often, and are trained on since: ``pipelines/<name>.spent.json``, written by a verb.

A list of ids and not of hashes or dates: which row tested when has to be told years later. It lies beside the pipeline file, to
be committed with it, and its digest is part of what the steps ``contract``, ``splits`` and ``corpus`` depend on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.strict import Strict

SUFFIX = ".spent.json"


class Round(Strict):
    """One renewal."""

    at: str
    """When, in UTC."""
    by: str
    """Who."""
    run: str | None
    """The last run that decided on these rows; None: none had."""
    rows: str | None
    """Digest of the test rows that it decided on."""
    decisions: int
    """How many different questions they had answered."""
    ids: tuple[str, ...] = Field(min_length=1)
    """The rows, sorted."""


class Spent(Strict):
    """All renewals of a pipeline's test rows, the oldest first."""

    version: Literal[1] = 1
    rounds: tuple[Round, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """Every row that tests no more."""
        return frozenset(key for each in self.rounds for key in each.ids)


def load(path: Path, shown: str) -> Spent:
    """The list in ``path``; an empty one where there is none.

    :raises ConfigError: somebody edited it into something else.
    """
    if not path.is_file():
        return Spent()
    try:
        return Spent.model_validate(files.read_json(path))
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"{shown} is no list of spent test rows: {first}", fix=f"git checkout {shown}") from None


def read_spent(path: str | None, digest: str | None) -> frozenset[str]:
    """The ids in the list that a section names; empty where it names none.

    :raises ConfigError: the list is not the one that the section was made for.
    """
    if path is None:
        return frozenset()
    if not Path(path).is_file() or files.sha256_file(Path(path)) != digest:
        raise ConfigError(f"{path} is not what the resolved file was made for", fix="regraft dvc")
    return load(Path(path), path).ids
