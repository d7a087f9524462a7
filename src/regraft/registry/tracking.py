"""What was learned goes to MLflow: one experiment a pipeline, one run a retraining, evidence beside the curves.

MLflow records and decides nothing; readers of past runs find them here and never in ``artifacts/``. A run holds
``evidence/`` (verdict.json, decision.json, labels.json, predictions/, report/), ``records/<step>.json``, ``report.html``
and the curves.

MLflow takes 1.2 s to import and its store 0.6 s more, so nothing here does so before a method needs it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from regraft.core.errors import ConfigError
from regraft.registry import database, mlflow_faults
from regraft.registry.journal import whoami
from regraft.registry.mlflow_store import MlflowStore
from regraft.registry.store import store_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

EVIDENCE = "evidence"
OUTCOME = "regraft.outcome"
FLOW_PAGE = "regraft.prefect"
"""Tag with the address of the flow run, for runs of a Prefect server that stays."""
KIND = "mlflow.experimentKind"
"""Tag by which MLflow's pages know an experiment as model training, and not as GenAI."""
VIEW = "?workflowType=machine_learning"
"""End of an address of MLflow's pages: a fresh browser opens all of them as GenAI otherwise, whatever the experiment's kind (3.17)."""
BEFORE = "heldout_loss_before"
"""A curve of one point, which lies at x = 0 where no new head was warmed up."""
NOTE = "mlflow.note.content"
"""Tag that MLflow's pages show as a run's description, Markdown."""
POINTS_A_CALL = 1000  # MLflow refuses a batch of more metrics
PARAMS_A_CALL = 100  # and of more parameters


@dataclass(frozen=True)
class TrackedRun:
    """One retraining as MLflow knows it."""

    run_id: str
    name: str
    pipeline: str
    status: str
    outcome: str | None
    """Outcome of its verdict; None while there is none."""
    flow_run: str | None = None
    """Address of its flow run in Prefect's pages; None: its Prefect server has ended with it."""


@dataclass(frozen=True)
class RunLine:
    """A run in a list of runs."""

    run_id: str
    name: str
    status: str
    started: datetime
    outcome: str | None
    """Outcome of its verdict; None while there is none."""
    candidate: str | None
    """Which model was judged; None without a verdict, and of runs before 0.3."""
    compared_by: str
    """The metric that its gates compare by."""
    test: Mapping[str, float]
    """What was judged on the test rows, without ``test/``: ``macro_f1``, ``macro_f1_low``, ``lead_over_tfidf`` and so on."""
    artifacts: str
    """URI of its artifacts."""


class Tracker(MlflowStore):
    """The runs and aliases of one workspace's MLflow store."""

    # Writing a run

    def start_run(self, pipeline: str, run: str, tags: Mapping[str, str] | None = None) -> str:
        """The id of the MLflow run called ``run``: a new one, or the one that an interrupted flow began, with these ``tags``."""
        with self.store() as client:
            experiment = self._experiment(client, pipeline)
            if runs := client.search_runs([experiment], f"attributes.run_name = '{run}'", max_results=1):
                run_id = runs[0].info.run_id
                client.update_run(run_id, status="RUNNING")
                for name, value in (tags or {}).items():
                    client.set_tag(run_id, name, value)
            else:
                run_tags = {"mlflow.user": whoami(), "mlflow.source.name": "regraft run", **(tags or {})}
                run_id = client.create_run(experiment, tags=run_tags, run_name=run).info.run_id
        return str(run_id)

    def _experiment(self, client: MlflowClient, pipeline: str) -> str:
        """Id of ``regraft/<pipeline>``; a server keeps artifacts where it was told to, everyone else in ``state``."""
        from mlflow.exceptions import MlflowException

        name = f"regraft/{pipeline}"
        if (experiment := client.get_experiment_by_name(name)) is None:
            over_http = self.uri.startswith(("http://", "https://"))
            try:
                place = None if over_http else (self.artifacts / pipeline).as_uri()
                return str(client.create_experiment(name, place, {KIND: "custom_model_development"}))
            except MlflowException:  # another run created it between the two calls; anything else fails below
                experiment = client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def log_points(self, run_id: str, prefix: str, points: Iterable[tuple[str, float, int]]) -> None:
        """Add ``(key, value, x)`` to the live curves ``<prefix>/<key>``; 40 microseconds a point in a batch."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self.store() as client:
            named = [Metric(key if key.startswith(f"{prefix}/") else f"{prefix}/{key}", value, now, x) for key, value, x in points]
            for part in _parts(named, POINTS_A_CALL):
                client.log_batch(run_id, metrics=part)

    def log_metrics(self, run_id: str, step: str, metrics: Mapping[str, float]) -> None:
        """A step's final numbers, as ``<step>/<name>``."""
        self.log_points(run_id, step, [(key, float(value), 0) for key, value in metrics.items()])

    def log_record(self, run_id: str, record: Mapping[str, Any]) -> None:
        """A step's record, as ``records/<step>.json``."""
        with self.store() as client:
            client.log_dict(run_id, dict(record), f"records/{record['step']}.json")

    def log_evidence(self, run_id: str, folder: Path, outcome: str) -> None:
        """Copy ``folder`` to ``evidence/``, and mark the run as decided, in this order."""
        with self.store() as client:
            client.log_artifacts(run_id, str(folder), EVIDENCE)
            client.set_tag(run_id, OUTCOME, outcome)

    def log_summary(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] = MappingProxyType({}),
        metrics: Mapping[str, float] = MappingProxyType({}),
        tags: Mapping[str, str] = MappingProxyType({}),
        data: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        note: str | None = None,
    ) -> None:
        """What the run's page in MLflow shows at a glance; ``data`` is ``{name: {path, hash}}``. Written again, it is what it was."""
        from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

        now = int(time.time() * 1000)
        tags = {**tags, **({NOTE: note} if note else {})}
        inputs = [DatasetInput(Dataset(name, item["hash"][:36], "local", json.dumps({"uri": item["path"]}))) for name, item in data.items()]
        with self.store() as client:
            known = client.get_run(run_id).data.params
            for part in _parts([Param(key, value) for key, value in params.items() if key not in known], PARAMS_A_CALL):
                client.log_batch(run_id, params=part)
            client.log_batch(
                run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )
            if inputs:
                client.log_inputs(run_id, inputs)

    def runs(self, pipeline: str, most: int) -> list[RunLine]:
        """The latest ``most`` runs of a pipeline, newest first; none where it never ran."""
        with self.store() as client:
            experiment = client.get_experiment_by_name(f"regraft/{pipeline}")
            if experiment is None:
                return []
            found = client.search_runs([experiment.experiment_id], max_results=most, order_by=["attributes.start_time DESC"])
        return [
            RunLine(
                run.info.run_id,
                run.info.run_name,
                run.info.status,
                datetime.fromtimestamp(run.info.start_time / 1000, UTC),
                run.data.tags.get(OUTCOME),
                run.data.tags.get("regraft.candidate"),
                run.data.tags.get("regraft.compared_by", "macro_f1"),
                {key.removeprefix("test/"): value for key, value in run.data.metrics.items() if key.startswith("test/")},
                str(run.info.artifact_uri),
            )
            for run in found
        ]

    def add_to_note(self, run_id: str, text: str) -> None:
        """Put ``text`` at the end of a run's description, once."""
        with self.store() as client:
            note = client.get_run(run_id).data.tags.get(NOTE, "")
            if text not in note:
                client.set_tag(run_id, NOTE, f"{note}\n{text}".strip())

    def log_report(self, run_id: str, page: Path) -> None:
        """The page about a run, under the name of its file (``report.html``)."""
        with self.store() as client:
            client.log_artifact(run_id, str(page))

    def finish(self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """End a run."""
        with self.store() as client:
            client.set_terminated(run_id, status)

    def reap(self, pipeline: str, keep: str) -> int:
        """End the runs that a kill left RUNNING, all but ``keep``. Call it holding the pipeline's run lock.

        Does nothing on a shared store, where another machine may be running them.
        """
        if self.remote:
            return 0
        with self.store() as client:
            running = client.search_runs([self._experiment(client, pipeline)], "attributes.status = 'RUNNING'")
            dead = [run.info.run_id for run in running if run.info.run_id != keep]
            for run_id in dead:
                client.set_terminated(run_id, "KILLED")
        return len(dead)

    # Reading past runs

    def find_run(self, name: str, decided: bool = False) -> TrackedRun:
        """The run called ``name``, or a pipeline's latest run; ``decided``: the latest that has a verdict.

        Of a local store that is the run whose result stands, whatever the clock said when it began.
        """
        pipeline, dash, _ = name.partition("-")
        standing = store_of(self.workspace).latest(pipeline) if decided and not dash and not self.remote else None
        if standing:
            with contextlib.suppress(ConfigError):  # its run is in another store
                return self.find_run(str(standing["run"]), decided=True)
        filters = ([f"attributes.run_name = '{name}'"] if dash else []) + ([f"tags.`{OUTCOME}` LIKE '%'"] if decided else [])
        with self.store() as client:
            experiment = client.get_experiment_by_name(f"regraft/{pipeline}")
            runs: Sequence[Run] = []
            if experiment is not None and "'" not in name:
                runs = client.search_runs(
                    [experiment.experiment_id], " and ".join(filters), max_results=1, order_by=["attributes.start_time DESC"]
                )
        if not runs:
            missing = "with a verdict " if decided else ""
            known = pipeline in self.workspace.pipelines
            raise ConfigError(
                f"no run {missing}{'called' if dash else 'of pipeline'} {name!r} in MLflow at {self.shown}",
                fix=f"regraft {'ls' if dash else 'run'} {pipeline}" if known else "regraft status",
            )
        info, tags = runs[0].info, runs[0].data.tags
        flow_run = tags.get(FLOW_PAGE, "")
        page = flow_run if flow_run.startswith(("http://", "https://")) else None  # whoever may write tags writes no script into our pages
        return TrackedRun(info.run_id, info.run_name, pipeline, info.status, tags.get(OUTCOME), page)

    def download_evidence(self, name: str) -> Path:
        """Folder with verdict.json, decision.json, labels.json and predictions/ of a run or a pipeline's latest verdict.

        A local store's own folder, not a copy: read it only.
        """
        return self.download(self.find_run(name, decided=True), EVIDENCE)

    def download(self, run: TrackedRun, part: str) -> Path:
        """The artifact folder ``part`` (``evidence``, ``records``) of a run; a local store's own, so read it only."""
        return self.fetch(f"{self.artifact_uri(run.run_id)}/{part}", self.workspace.scratch / "downloads" / run.name / part)

    def artifact_uri(self, run_id: str) -> str:
        """Where the artifacts of a run lie."""
        with self.store() as client:
            return str(client.get_run(run_id).info.artifact_uri)

    def experiment_of(self, run_id: str) -> str:
        """Id of the experiment that a run belongs to; MLflow's addresses need it."""
        with self.store() as client:
            return str(client.get_run(run_id).info.experiment_id)

    @property
    def _pages(self) -> str:
        """The tracking server's pages; for a local store, what `regraft ui mlflow` serves it under."""
        return self.shown.rstrip("/") if self.shown.startswith(("http://", "https://")) else "http://127.0.0.1:5000"

    def page_of_version(self, pipeline: str, version: str) -> str:
        """The page of a registered version on the tracking server."""
        return f"{self._pages}/#/models/{pipeline}/versions/{version}"

    def page_of(self, run_id: str, below: str = "") -> str:
        """The run's page on the tracking server, or one ``below`` it such as "/artifacts/report.html"."""
        # MLflow knows #/runs/ID too, but nothing below it.
        return f"{self._pages}/#/experiments/{self.experiment_of(run_id)}/runs/{run_id}{below}{VIEW}"

    def curves(self, run_id: str, step: str) -> dict[str, list[tuple[int, float]]]:
        """``{metric: [(x, value)]}`` of a step's live curves, by x; empty where the run has none or is not in this store."""
        from mlflow.exceptions import MlflowException

        with self.store() as client:
            try:
                keys = sorted(key for key in client.get_run(run_id).data.metrics if key.startswith(f"{step}/"))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}
            histories = {key: client.get_metric_history(run_id, key) for key in keys}
        curves = dict[str, list[tuple[int, float]]]()
        for key, history in histories.items():
            name = key.removeprefix(f"{step}/").removeprefix(f"{step}/")  # before 0.3 it stood there twice
            points = sorted((int(point.step), float(point.value)) for point in history)
            # A step's final numbers stand under the same prefix at x = 0, where no curve begins but what was measured before training.
            if later := [point for point in points if point[0]] or (points if name == BEFORE else []):
                curves[name] = later
        return curves

    def fetch(self, uri: str, into: Path) -> Path:
        """The folder behind an artifact URI: where it lies if that is on this machine, else a fresh copy in ``into``."""
        if uri.startswith("file://"):
            return Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))
        from mlflow.artifacts import download_artifacts

        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        with self.store():
            return Path(download_artifacts(artifact_uri=uri, dst_path=str(into)))

    # Aliases

    def aliases(self, pipeline: str) -> dict[str, str]:
        """``{alias: version}``; of a local store without importing MLflow."""
        if path := database.sqlite_path(self.uri):
            try:
                return database.read_aliases(path, pipeline)
            except sqlite3.Error as error:
                raise mlflow_faults.explained(error, self.uri) from error
        from mlflow.exceptions import MlflowException

        with self.store() as client:
            try:
                aliases = client.get_registered_model(pipeline).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                aliases = {}
        return {alias: str(version) for alias, version in aliases.items()}

    def set_alias(self, pipeline: str, alias: str, version: str | None) -> None:
        """Point ``alias`` to ``version``, or remove it. The last writer wins: only the journal's projection calls this."""
        with self.store() as client:
            if version is None:
                client.delete_registered_model_alias(pipeline, alias)
            else:
                client.set_registered_model_alias(pipeline, alias, version)


def _parts(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    return (list(values[start : start + size]) for start in range(0, len(values), size))
