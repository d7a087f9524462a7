"""Work pools whose steps run in containers, each in one of its own."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from regraft.core.strict import Strict

OF_KIND = {"namespace": "kubernetes", "secret": "kubernetes", "volumes": "docker"}
"""Keys that only one kind of pool has."""


class PoolOptions(Strict):
    """A pool of a Prefect server, made by `regraft deploy`, whose worker starts a container for each step that a run asks of it."""

    type: Literal["kubernetes", "docker"]
    """Whose worker starts the containers: `prefect worker start --type kubernetes` or `docker`."""
    image: str = Field(pattern=r"^[\w./:@-]+$")
    """The image, built from `flows/agent.Dockerfile` in the workspace's root."""
    gpus: int = Field(1, ge=0, le=16)
    """GPUs of a container: `nvidia.com/gpu`, or a device request of Docker. 0: it computes on CPUs."""
    memory: Annotated[str, Field(pattern=r"^[1-9]\d*[MG]i$")] | None = None
    """Most memory of a container, as `16Gi`. Left out: what its machine has."""
    env: dict[Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")], str] = Field({}, validate_default=True)
    """Variables that are no secret: `MLFLOW_TRACKING_URI`, `AWS_ENDPOINT_URL_S3`."""
    namespace: str = Field("default", pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    """Where Kubernetes makes its jobs."""
    secret: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] | None = None
    """A Secret of that namespace whose entries are variables of the container: keys of S3, passwords."""
    volumes: tuple[Annotated[str, Field(pattern=r"^[^:\s]+:/[^:\s]*(:ro|:rw)?$")], ...] = ()
    """What Docker mounts, as HOST:CONTAINER: `/srv/keys:/keys:ro`."""

    @field_validator("env")
    @classmethod
    def _holds_no_secret(cls, env: dict[str, str]) -> dict[str, str]:
        if named := [
            name for name, value in env.items() if urlsplit(value).password or name.endswith(("_PASSWORD", "_KEY", "_TOKEN", "_SECRET"))
        ]:
            raise ValueError(f"write no secret into a file ({', '.join(named)}): `secret` names one of Kubernetes, `volumes` mounts a file")
        return env

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if strange := [key for key, kind in OF_KIND.items() if key in self.model_fields_set and kind != self.type]:
            raise ValueError(f"a pool of type {self.type} has no {' and no '.join(strange)}")
        return self
