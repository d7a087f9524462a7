"""``regraft.yaml`` in a workspace's root: what holds for all of its pipelines. A workspace without one keeps everything in itself."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from regraft.config.pools import PoolOptions
from regraft.core.errors import Problem
from regraft.core.redacted import redacted
from regraft.core.strict import Strict
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty, problem_of, read_yaml

NAME = "regraft.yaml"


class WorkspaceOptions(Strict):
    """The keys of ``regraft.yaml``."""

    version: Literal[1] = 1
    """Of this file's format."""
    store: str | None = None
    """Where journals, ledger, kept answers, last results and approvals are: `postgresql://HOST/DATABASE`, `s3://BUCKET/PREFIX` or
    `sqlite:///FILE`, or what a plug-in brings. Left out: the folder `state/`. Passwords come from the environment."""

    repository: str | None = Field(None, min_length=1)
    """What agents clone, at the commit that was deployed: a git URL. Left out: an agent runs what is deployed in the clone that it was
    started in."""

    pools: dict[str, PoolOptions] = Field({}, validate_default=True)
    """Work pools whose steps run in containers, by their names in pipelines' `agents.gpu`. Pools that are not here are those of agents."""

    @field_validator("repository")
    @classmethod
    def _names_no_secret(cls, repository: str | None) -> str | None:
        parts = urlsplit(repository or "")
        # Of http the user's name may be a token, and mostly is; of ssh it is the account `git`.
        if parts.password or (parts.scheme in ("http", "https") and "@" in parts.netloc):
            raise ValueError("write no user or password into a file: git asks its credential helper, or an ssh key")
        return repository

    @field_validator("store")
    @classmethod
    def _holds_no_secret(cls, store: str | None) -> str | None:
        if store is not None and urlsplit(store).password:
            raise ValueError("write no password into a file: REGRAFT_STORE takes the whole URL, and PostgreSQL reads PGPASSWORD")
        return store


def load_workspace(workspace: Workspace) -> WorkspaceOptions:
    """The options of ``workspace``; every fault in its file at once."""
    path = workspace.root / NAME
    if not path.is_file():
        return WorkspaceOptions()
    value, node = read_yaml(path, NAME)
    try:
        return WorkspaceOptions.model_validate(value)
    except ValidationError as error:
        problems = [problem_of(item, NAME, node, WorkspaceOptions) for item in error.errors()]
    raise faulty([Problem({**problem, "message": redacted(problem["message"]), "value": None}) for problem in problems])
