"""What a pool of containers starts: a job that Kubernetes 1.32 takes as it stands, and arguments that Docker's client takes.

``golden/kubernetes-1.32-job.json.xz`` is the strict schema of a Job with all that it refers to, without descriptions, from the package
kubernetes-validate 1.37.0 (Kubernetes' own, Apache-2.0), which has 110 MB of the others.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from docker.types import HostConfig
from pydantic import ValidationError

from regraft.config.pools import PoolOptions
from regraft.core.errors import ConfigError
from regraft.execution import deployments
from regraft.execution.job_templates import template

SCHEMA = json.loads(lzma.decompress((Path(__file__).parents[1] / "golden" / "kubernetes-1.32-job.json.xz").read_bytes()))
IMAGE = "registry.example/regraft-agent:1"
ALL = {"type": "kubernetes", "image": IMAGE, "gpus": 2, "memory": "32Gi", "namespace": "ml", "secret": "keys", "env": {"A": "1"}}


def job(**options: Any) -> dict[str, Any]:
    """The job of a pool, filled in as a worker does it."""
    manifest = json.loads(json.dumps(template(PoolOptions(**options))["job_configuration"]["job_manifest"]))
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    assert (container["args"], container["env"]) == ("{{ command }}", "{{ env }}")
    container |= {"args": ["regraft", "job"], "env": [{"name": "PREFECT__FLOW_RUN_ID", "value": "1"}]}
    manifest["metadata"] |= {"generateName": "tiny-", "labels": {"prefect.io/flow-run-name": "tiny"}}
    return dict(manifest)


@pytest.mark.parametrize("options", [{"type": "kubernetes", "image": IMAGE}, {**ALL, "gpus": 0}, ALL])
def test_a_job_is_valid_to_the_letter_and_asks_for_its_gpus(options):
    manifest = job(**options)
    jsonschema.validate(manifest, SCHEMA)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    limits = container.get("resources", {}).get("limits", {})
    assert limits.get("nvidia.com/gpu", "0") == str(PoolOptions(**options).gpus)
    assert container["image"] == IMAGE


def test_what_kubernetes_does_not_know_is_no_valid_job():
    manifest = job(**ALL)
    manifest["spec"]["template"]["spec"]["completions"] = 1  # where the worker's own template has it
    with pytest.raises(jsonschema.ValidationError, match="'completions' was unexpected"):
        jsonschema.validate(manifest, SCHEMA)


def test_docker_is_asked_for_gpus_memory_and_shared_memory_in_words_that_its_client_knows():
    pool = PoolOptions(type="docker", image=IMAGE, gpus=1, memory="16Gi", volumes=("/srv/keys:/keys:ro",))
    made = template(pool)["job_configuration"]
    host = HostConfig(version="1.43", mem_limit=made["mem_limit"], binds=made["volumes"], **made["container_create_kwargs"])
    assert (host["Memory"], host["ShmSize"]) == (16 * 2**30, 8 * 2**30)
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "Count": 1, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"type": "docker", "namespace": "ml"}, "a pool of type docker has no namespace"),
        ({"type": "kubernetes", "volumes": ["/a:/b"]}, "a pool of type kubernetes has no volumes"),
        ({"type": "kubernetes", "env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "write no secret into a file .AWS_SECRET_ACCESS_KEY."),
        ({"type": "kubernetes", "env": {"REGRAFT_STORE": "postgresql://u:p@h/d"}}, "write no secret into a file .REGRAFT_STORE."),
        ({"type": "kubernetes", "memory": "16GB"}, "String should match pattern"),
        ({"type": "process"}, "Input should be 'kubernetes' or 'docker'"),
    ],
)
def test_a_pool_that_cannot_be_meant_is_refused(options, says):
    with pytest.raises(ValidationError, match=says):
        PoolOptions(**{"image": IMAGE, **options})


@pytest.mark.parametrize(("name", "what"), [("demo", "runs"), ("demo-inbox", "looks into the inbox")])
def test_whole_runs_are_refused_where_nothing_is_kept(name, what, tmp_path):
    from regraft.core.workspace import Workspace

    (tmp_path / "regraft.yaml").write_text(f"version: 1\npools: {{cluster: {{type: kubernetes, image: '{IMAGE}'}}}}\n")
    workspace = Workspace(tmp_path)
    with pytest.raises(ConfigError, match=f"'demo' {what} in pool 'cluster', whose containers keep nothing"):
        deployments.container_pools(workspace, {name: {"pool": "cluster"}})
    assert list(deployments.container_pools(workspace, {"demo-gpu": {"pool": "cluster"}, "demo": {"pool": "regraft"}})) == ["cluster"]
