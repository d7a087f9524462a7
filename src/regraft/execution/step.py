"""A step is a typed function from (config, inputs, out) to metrics; everything else is derived from it.

``dvc repro`` reaches it through ``regraft step NAME`` and Prefect through ``flows``; both end in
:func:`run_step`, so the two can never disagree about what a step does.

Everything below ``out/`` depends on inputs, parameters and step version alone. What belongs to the one run
(times, host, curves, reports) goes below ``evidence/`` or into ``record.json``.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from regraft.config.candidates import Candidate
from regraft.config.pipeline import PipelineOptions, StepConfig
from regraft.core import energy, files
from regraft.core.errors import ConfigError, DataRejected, EnvironmentFault, Interrupted, Problem
from regraft.core.git import git_state
from regraft.core.progress import STOP, Running, emit, running
from regraft.core.workspace import Workspace
from regraft.execution.shared_step import ranks
from regraft.models import base_model

C = TypeVar("C", bound=StepConfig)
Metrics = Mapping[str, int | float]
Inputs = Mapping[str, "Output | str"]
RECORD_SCHEMA = 2
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pandas", "scikit-learn", "great-expectations", "rensa", "regraft")


@dataclass(frozen=True)
class Output:
    """Something below another step's ``out/``."""

    step: str
    path: str = ""

    def below(self, workspace: Workspace, pipeline: str) -> Path:
        """Where it lies for one pipeline."""
        return workspace.artifacts(pipeline, self.step) / "out" / self.path


@dataclass(frozen=True)
class First:
    """What a step took on the demo, on a machine whose speed is known: from it the time of a first run is estimated."""

    seconds: float
    """Seconds that do not depend on the data: nearly all of them imports."""
    per_mb: float = 0.0
    """Seconds for each MB of :attr:`data`."""
    data: str = "data.labelled"
    """What of the pipeline file is read, maybe by a step before."""
    answers: float = 0.0
    """Share of the labelled rows' tokens that a model reads to answer."""
    learns: Callable[[Any], float] | None = None
    """Config -> how often the training rows are read to learn from them; None: it learns from none of them."""


@dataclass(frozen=True)
class Cost:
    """What the cost of a step grows with; :mod:`regraft.execution.run_cost` estimates it from earlier records."""

    follows: tuple[str, ...] | None = None
    """The inputs whose bytes the work grows with; None: all of them."""
    tokens: Callable[[Any, Any, Metrics], float | None] | None = None
    """(config, config of an earlier run or None, its metrics) -> tokens trained on, for the earlier run's data; the time
    then grows with them. None as a result: it takes an earlier run to tell."""
    trains: bool = False
    """It writes a model and keeps checkpoints on the way."""
    repeats: tuple[str, Callable[[Any], int]] | None = None
    """(another step that trains, config -> how many times): it does the work of that step so often, and keeps none of the models."""
    first: First | None = None
    """What it takes where it never ran; None: nobody can tell."""


Instances = tuple[Candidate | None, ...]
ONCE: Instances = (None,)
"""The instances of a step that is no candidate's: one."""
NEVER: Instances = ()
"""Those of a step that nothing in the pipeline file asks for."""


@dataclass(frozen=True, eq=False)
class Step(Generic[C]):
    """One node of the DAG, independent of any pipeline; :meth:`of` makes of it the instance of one candidate."""

    name: str
    """That of the step; of an instance ``<step>-<candidate>``."""
    config: type[C]
    run: Callable[[C, Mapping[str, Path], Path], Metrics]
    """(config, inputs, out) -> small numbers. Evidence goes to :func:`evidence`(out)."""
    inputs: Inputs | Callable[[Candidate], Inputs]
    """Name -> a part of another step's output, or ``data.corpus`` / ``data.labelled`` of the pipeline file; what differs from
    candidate to candidate is a function of it. Another step that runs for each candidate is read in the instance of the same one."""
    version: int
    """The only way code enters a step's identity."""
    optional: tuple[str, ...] = ()
    """Inputs that are left out where the pipeline does not have the step that leaves them."""
    gpu: bool = False
    cost: Cost = Cost()
    instances: Callable[[PipelineOptions], Instances] = lambda _: ONCE
    """The candidates that a pipeline runs the step for; :data:`ONCE`: it is no candidate's; empty: nothing in its file asks for the
    step, which then has no section and no stage."""
    candidate: Candidate | None = None
    """Whose instance this is; None: the step as its file declares it."""
    declared: str = ""
    """The name in the step's own file, which an instance keeps; see :attr:`kind`."""

    def __truediv__(self, path: str) -> Output:
        return Output(self.name, path)

    @property
    def kind(self) -> str:
        """The step that this is an instance of; its own name where it is none."""
        return self.declared or self.name

    @property
    def sources(self) -> Inputs:
        """The inputs; of a step whose inputs depend on the candidate, :meth:`of` has to have named one."""
        if callable(self.inputs):
            assert self.candidate is not None, f"the inputs of {self.name!r} are those of a candidate"
            return self.inputs(self.candidate)
        return self.inputs

    def of(self, candidate: Candidate | None, among: Collection[str]) -> Step[C]:
        """The instance for ``candidate``, which reads the instances for it of those steps that have one ``among`` these names."""
        if candidate is None:
            return replace(self, inputs=self._without_absent(self.sources, among)) if self.optional else self
        instance = replace(self, name=candidate.instance(self.name), candidate=candidate, declared=self.name)
        own = {
            name: Output(other, source.path)
            if isinstance(source, Output) and (other := candidate.instance(source.step)) in among
            else source
            for name, source in instance.sources.items()
        }
        own = self._without_absent(own, among)
        return replace(instance, inputs=own)

    def _without_absent(self, sources: Inputs, among: Collection[str]) -> dict[str, Output | str]:
        """``sources`` but the optional ones whose step is not ``among`` these names."""
        absent = {name for name, source in sources.items() if isinstance(source, Output) and source.step not in among} & set(self.optional)
        return {name: source for name, source in sources.items() if name not in absent}


def each_candidate(options: PipelineOptions) -> Instances:
    """The instances of a step that trains every candidate, or reads every candidate's model."""
    return options.every_candidate


def evidence(out: Path) -> Path:
    """The folder beside ``out`` for what may differ from run to run."""
    return out.parent / "evidence"


def fingerprint(config: StepConfig, step_version: int, inputs: Mapping[str, str]) -> str:
    """Identity of a step's result: sha256 over its section, its version and its inputs' hashes."""
    return files.sha256_text(files.canonical([config.model_dump(mode="json"), step_version, dict(inputs)]))


@dataclass(frozen=True)
class Input:
    """One input of a step for one pipeline: a path of the workspace, or a data set on a hub, which is its pinned name."""

    source: Output | str
    local: Path
    """Where it lies, if it is no data set on a hub."""

    @property
    def hub(self) -> str | None:
        """The name of a data set on a hub; None: it lies in the workspace."""
        return self.source if isinstance(self.source, str) and self.source.startswith("hub:") else None

    @property
    def path(self) -> Path:
        """Where it lies. A data set on a hub is fetched if it is not in the local cache."""
        if self.hub is None:
            return self.local
        from regraft.data import hub

        return hub.fetch(self.hub)

    @property
    def there(self) -> bool:
        """Whether there is anything to hash; looking fetches nothing."""
        return self.hub is not None or self.local.exists()

    def hash(self) -> str:
        """The hash of the bytes; for a data set on a hub that of its name, in which the commit is a hash of all its bytes."""
        return files.sha256_text(self.hub) if self.hub is not None else files.digest(self.local)


def locate_inputs(step: Step[Any], workspace: Workspace, pipeline: str, data: Mapping[str, Any]) -> dict[str, Input]:
    """A step's inputs; ``data`` is the resolved file's ``data`` section. Several paths become ``corpus.0``, ``corpus.1`` ..."""
    inputs: dict[str, Input] = {}
    for name, source in step.sources.items():
        if isinstance(source, Output):
            inputs[name] = Input(source, source.below(workspace, pipeline))
            continue
        paths = data[source.removeprefix("data.")]
        paths_by_name = {f"{name}.{number}": path for number, path in enumerate(paths)} if isinstance(paths, list) else {name: paths}
        inputs |= {name: Input(path, workspace.root / path) for name, path in paths_by_name.items()}
    return inputs


def run_step(step: Step[Any], workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], context: Running) -> None:
    """Run ``step`` for ``pipeline`` and leave ``out/``, ``evidence/`` and ``record.json``, the record last.

    ``resolved`` is the resolved file's content. A step that dies leaves its partial folder; the next one removes it.
    """
    config = section(step, pipeline, resolved)
    located = locate_inputs(step, workspace, pipeline, resolved["data"])
    _require_outputs(step, workspace, pipeline, located)
    _same_base(step, config, workspace, pipeline)
    hashes = {name: item.hash() for name, item in located.items() if item.there}
    identity = fingerprint(config, step.version, hashes)
    context.checkpoints = workspace.checkpoints(pipeline, step.name, identity)
    context.embeddings = workspace.scratch / "embeddings"

    home = workspace.artifacts(pipeline, step.name)
    partial = home / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name in ("out", "evidence"):
        (partial / name).mkdir(parents=True)
    started, clock, processor = datetime.now(UTC), time.perf_counter(), time.process_time()
    with running(context), _rejections_kept(partial, workspace.scratch / "rejected" / f"{pipeline}.{step.name}"):
        emit("start")
        with ranks(workspace, pipeline, step.name, partial) if step.cost.trains else nullcontext():
            metrics = dict(step.run(config, {name: item.path for name, item in located.items()}, partial / "out"))
    # Of a training that was cut, the time before the cut as well: `regraft plan` learns from it.
    elapsed, earlier = time.perf_counter() - clock, context.facts.get("earlier_seconds", 0.0)
    seconds, cpu_seconds = round(elapsed + earlier, 3), (time.process_time() - processor) * (1 + earlier / elapsed)
    if changed := [name for name, item in located.items() if item.hash() != hashes[name]]:
        raise EnvironmentFault(
            f"step '{step.name}': {', '.join(changed)} changed while the step was reading it; nothing was kept",
            fix=f"regraft run {pipeline}",
        )
    _same_base(step, config, workspace, pipeline)
    files.write_json(partial / "evidence" / "metrics.json", {"metrics": metrics, "seconds": seconds})
    record = {
        "schema": RECORD_SCHEMA,
        "pipeline": pipeline,
        "step": step.name,
        "step_version": step.version,
        "fingerprint": identity,
        "inputs": {name: {"path": item.hub or workspace.relative(item.local), "hash": hashes[name]} for name, item in located.items()},
        "params": config.model_dump(mode="json"),
        "outputs": files.tree(partial / "out"),
        "metrics": metrics,
        "started": started.isoformat(timespec="seconds"),
        "seconds": seconds,
        "energy": energy.estimate(cpu_seconds, seconds, context.facts.get("device", "cpu")),
        **_circumstances(workspace, context),
    }
    _publish(partial, home, record)
    # The checkpoints stay until DVC has the output (regraft.execution.repro): a kill in between must not cost the training.


def _require_outputs(step: Step[Any], workspace: Workspace, pipeline: str, located: Mapping[str, Input]) -> None:
    """ConfigError where an input is another step's output and is not there."""
    for name, item in located.items():
        if isinstance(item.source, Output) and not item.path.exists():
            message = f"step '{step.name}' needs {name} ({workspace.relative(item.path)}), which is not there"
            raise ConfigError(message, fix=f"regraft run {pipeline}")


def _publish(partial: Path, home: Path, record: Mapping[str, Any]) -> None:
    """Move what a step left from ``partial`` to ``home``, the record last."""
    files.sync_tree(partial)
    (home / "record.json").unlink(missing_ok=True)  # a record means a whole output: none while it changes
    for name in ("out", "evidence"):
        shutil.rmtree(home / name, ignore_errors=True)
        (partial / name).rename(home / name)
    files.write_json(home / "record.json", record)
    shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _rejections_kept(partial: Path, kept: Path) -> Iterator[None]:
    """Where a step rejects its data, what it wrote of the reasons moves to ``kept``, and nothing else is left of it."""
    try:
        yield
    except DataRejected as fault:
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        (partial / "evidence").rename(kept)
        shutil.rmtree(partial, ignore_errors=True)
        old, new = os.path.relpath(partial / "evidence"), os.path.relpath(kept)
        problems = [Problem({key: _moved(value, old, new) for key, value in problem.items()}) for problem in fault.problems]
        raise DataRejected(_moved(str(fault), old, new), fix=fault.fix, problems=problems) from None


def _moved(value: Any, before: str, now: str) -> Any:
    return value.replace(before, now) if isinstance(value, str) else value


def _same_base(step: Step[Any], config: StepConfig, workspace: Workspace, pipeline: str) -> None:
    """A base model is an input that DVC does not watch: its files have to be those the section was made for."""
    spec, expected = getattr(config, "base_model", None), getattr(config, "base_digest", None)
    if spec is None or expected is None:
        return
    folder = base_model.locate(spec, workspace.root)
    if (digest := base_model.digest(folder)) != expected:
        raise EnvironmentFault(
            f"step '{step.name}': the files of the base model {spec} ({folder}) changed since the run began: "
            f"digest {digest[:12]}, expected {expected[:12]}; nothing was kept",
            fix=f"regraft run {pipeline}",
        )


def section(step: Step[C], pipeline: str, resolved: Mapping[str, Any]) -> C:
    """The step's section, or the command that brings a resolved file of another version in step."""
    try:
        return step.config.model_validate(resolved.get(step.name))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, (step.name, *fault["loc"])))
        raise ConfigError(f"pipelines/resolved/{pipeline}.yaml: {where}: {fault['msg']}", fix="regraft dvc") from None


def _circumstances(workspace: Workspace, context: Running) -> dict[str, Any]:
    """The part of a record that is evidence, not identity: who asked, on what machine, with which libraries."""
    return {
        "invocation": os.environ.get("REGRAFT_INVOCATION", ""),
        "run": workspace.invocation().get("run", ""),
        "mlflow_run_id": _mlflow_run_id(workspace),
        "peak_mb": _peak_mb() + context.facts.get("workers_mb", 0),
        "device": context.facts.get("device", "cpu"),
        "threads": context.facts.get("threads", 1),
        "shards": context.facts.get("shards", 1),
        "workers": context.facts.get("workers", 1),
        "precision": context.facts.get("precision", "fp32"),
        "exact": context.facts.get("exact", True),
        "versions": _versions(),
        "git": git_state(workspace.root),
    }


def _peak_mb() -> int:
    """Most memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2)


def _mlflow_run_id(workspace: Workspace) -> str:
    """The id of this run in MLflow; the first step of a run starts before there is one, and waits for it here."""
    invocation = workspace.invocation()
    if not invocation.get("opening_mlflow"):
        return os.environ.get("MLFLOW_RUN_ID", "")
    path = workspace.mlflow_run_file(invocation["run"])
    while not path.is_file():
        if STOP.wait(0.05):
            raise Interrupted("stopped before its MLflow run was there")
    return str(files.read_json(path))


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):  # the record says so by its absence
            versions[library] = version(library)
    return versions
