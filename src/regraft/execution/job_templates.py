"""What a worker of Kubernetes or Docker starts for one step of a run: base job templates of a Prefect work pool. Pure.

A template is a document with ``{{ name }}`` in it, which the worker fills in for each flow run: command, environment, labels, name. All
else is the pool's (:class:`regraft.config.pools.PoolOptions`) and stands there as it is.
"""

from __future__ import annotations

from typing import Any

from regraft.config.pools import PoolOptions
from regraft.execution.shared_step import VARIABLE

Json = dict[str, Any]
KEPT_SECONDS = 86_400
"""For which Kubernetes keeps a job that has ended, with its log."""
GRACE_SECONDS = 120
"""Between SIGTERM and the end: a step writes its checkpoint and pushes it."""
SHARED = "8g"
"""Most shared memory of a container, of which Docker gives 64 MB: processes of torch hand their tensors over in it."""
USER = 1000
"""Of `flows/agent.Dockerfile`."""


def template(pool: PoolOptions) -> Json:
    """The base job template of a work pool."""
    kinds = {"kubernetes": _kubernetes, "docker": _docker}
    filled_in = {"name": "string", "command": "string", "labels": "object", "env": "object"}
    properties: Json = {name: {"type": kind, "title": name} for name, kind in filled_in.items()}
    for name in ("labels", "env"):
        properties[name] |= {"additionalProperties": {"type": "string"}, "default": _variables(pool) if name == "env" else {}}
    every = {name: f"{{{{ {name} }}}}" for name in filled_in}
    return {"job_configuration": {**every, **kinds[pool.type](pool)}, "variables": {"type": "object", "properties": properties}}


def _variables(pool: PoolOptions) -> dict[str, str]:
    """The environment of a container: its GPUs share each training."""
    return {**({VARIABLE: str(pool.gpus)} if pool.gpus > 1 else {}), **pool.env}


def _kubernetes(pool: PoolOptions) -> Json:
    return {"namespace": pool.namespace, "job_manifest": _manifest(pool), "pod_watch_timeout_seconds": 600, "stream_output": True}


def _manifest(pool: PoolOptions) -> Json:
    """A Job (batch/v1, Kubernetes 1.32) of one pod, which nobody but Prefect starts again."""
    limits: Json = {"nvidia.com/gpu": str(pool.gpus)} if pool.gpus else {}
    if pool.memory:
        limits["memory"] = pool.memory
    container: Json = {
        "name": "prefect-job",  # the worker looks for it by this name
        "image": pool.image,
        "args": "{{ command }}",
        "env": "{{ env }}",
        **({"envFrom": [{"secretRef": {"name": pool.secret}}]} if pool.secret else {}),
        **({"resources": {"limits": limits}} if limits else {}),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
    }
    pod: Json = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}],
        **({"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]} if pool.gpus else {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "{{ name }}-", "namespace": pool.namespace, "labels": "{{ labels }}"},
        "spec": {
            # prefect-kubernetes 0.8.0 refuses a job without these two, and looks for them in the pod, which has no such fields.
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"spec": pod},
        },
    }


def _docker(pool: PoolOptions) -> Json:
    more: Json = {"shm_size": SHARED}
    if pool.gpus:
        more["device_requests"] = [{"driver": "nvidia", "count": pool.gpus, "capabilities": [["gpu"]]}]
    return {
        "image": pool.image,
        "volumes": list(pool.volumes),
        "auto_remove": True,
        "stream_output": True,
        **({"mem_limit": pool.memory.lower().removesuffix("i")} if pool.memory else {}),
        "container_create_kwargs": more,
    }
