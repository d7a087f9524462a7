"""What follows the steps: decide, publish, register, promote. Each is idempotent, so each may be repeated.

Nothing here computes a number: the verdict is :func:`regraft.gates.decide.decide`'s, the registry's rules are
:mod:`regraft.registry`'s. Here is only what is fetched first, and what follows from which outcome.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from regraft.config.resolved_file import read_resolved
from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.execution.launch import Event
from regraft.execution.notify import document, notify
from regraft.execution.records import MODEL, data_hashes, external_inputs
from regraft.execution.repro import Outcome, Run
from regraft.execution.step import Step
from regraft.execution.withheld import spared
from regraft.execution.withheld import withheld as withheld_candidates
from regraft.gates import words
from regraft.gates.decide import candidate, decide, question
from regraft.gates.evidence import decision_in
from regraft.gates.measurements import power_summary
from regraft.gates.registry import read_all, tables
from regraft.gates.telling import row, sentence, sentences
from regraft.gates.verdict import Champion, Verdict
from regraft.production import answers, approval
from regraft.production.step_outputs import choose, gather
from regraft.production.token_check import require_same_ids
from regraft.registry import run_summary
from regraft.registry.approvals import standing
from regraft.registry.journal import rolled_back
from regraft.registry.projection import project
from regraft.registry.promotion import champion, promote
from regraft.registry.registration import EXAMPLES, register
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.registry.waivers import waived_of
from regraft.reports.card import store as card_store
from regraft.reports.evidence import keep
from regraft.reports.make import log_page

EXITS = {"pass": 0, "fail": 4, "inconclusive": 5}


@dataclass(frozen=True)
class Decision:
    """A verdict, and the folder with all that it rests on."""

    verdict: Verdict
    evidence: Path

    @property
    def sentence(self) -> str:
        """The findings that settled it, in their own words."""
        verdict = self.verdict
        if verdict.outcome != "pass":
            return " ".join(sentences(f for f in verdict.findings if f.outcome == verdict.outcome))
        settling = [f for f in verdict.findings if f.gate == "identity"] or [f for f in verdict.findings if f.outcome == "pass"]
        return " ".join(sentences(settling))

    @property
    def event(self) -> Event:
        """The ``verdict`` event."""
        findings = [{"gate": f.gate, "outcome": f.outcome, "sentence": sentence(f)} for f in self.verdict.findings]
        return {"event": "verdict", "outcome": self.verdict.outcome, "sentence": self.sentence, "findings": findings}


def to_be_measured(resolved: Mapping[str, Any]) -> bool:
    """Whether a gate reads what is measured of the candidate alone."""
    return any(table.step is None for table in tables(read_all(resolved["gates"])))


def measure_candidate(run: Run, resolved: Mapping[str, Any]) -> dict[str, Path]:
    """Key of each table that no step leaves -> its file, as far as it can be measured: what serving the candidate takes."""
    serving = measure_serving(run, resolved)
    keys = [table.key for table in tables(read_all(resolved["gates"])) if table.step is None]
    return {} if serving is None else dict.fromkeys(keys, serving)


def measure_serving(run: Run, resolved: Mapping[str, Any]) -> Path | None:
    """What serving the candidate takes on this machine, measured only if nobody ever did; or why it could not be, as a file too.

    For pipelines alone whose gates ask for it. None where there is no candidate, because its predictions cannot be used.
    """
    scores = _gathered(run, resolved)
    if (name := candidate(resolved["gates"], resolved["seed"], scores)) is None:
        return None
    store, digest = store_of(run.workspace).serving, files.read_json(scores / "digests.json")[name]
    if stored := store.get(digest):
        return stored
    texts = run.workspace.scratch / "evidence" / f"{run.name}.texts.json"
    files.write_json(texts, _texts(run))
    folder = _model(run, name)
    measured = texts.with_name(f"{run.name}.serving.json")
    try:
        answers.spawned(run, "serving", "regraft.evaluation.serving_cost", folder, texts, measured)
    except EnvironmentFault as fault:
        files.write_json(measured, {"problem": str(fault).replace(f"{run.workspace.root}/", "")})
        return measured
    return store.put(digest, measured)


def take_decision(run: Run, tracker: Tracker, resolved: Mapping[str, Any], measured: Mapping[str, Path] | None = None) -> Decision:
    """Decide on the candidates, compared with today's champion. A champion that cannot be scored is a reason, not an error.

    :param measured: the files that :func:`measure_candidate` returned.
    """
    for change in project(tracker, run.pipeline):
        run.emit({"event": "warning", "message": change})
    scores = _gathered(run, resolved)
    current = champion(tracker, run.pipeline)
    incumbent = Champion(current["version"], current["digest"]) if current else None
    predictions, problem = answers.of_champion(run, tracker, scores, incumbent) if incumbent else (None, None)
    evidence = run.workspace.scratch / "evidence" / run.name
    gates, seed = resolved["gates"], resolved["seed"]
    rows, inquiry = question(gates, seed, scores, incumbent)
    decisions = store_of(run.workspace).ledger.record(rows, inquiry, pipeline=run.pipeline, run=run.name)
    verdict = decide(run.pipeline, gates, seed, scores, incumbent, predictions, problem, evidence, decisions, measured)
    decision = Decision(verdict, evidence)
    run.emit(decision.event)
    return decision


def withheld_steps(run: Run, resolved: Mapping[str, Any], steps: Sequence[Step[Any]]) -> dict[str, str]:
    """{step: candidate} of the steps that are not run, because their candidate is withheld; who that is, and why, is told."""
    without = withheld_candidates(run.workspace, run.pipeline, resolved)
    for item in without:
        run.emit({"event": "withheld", "candidate": item["model"], "message": f"{item['model']} is withheld: {words.withheld(item)}"})
    return spared(steps, [item["model"] for item in without])


def choose_candidate(run: Run, resolved: Mapping[str, Any]) -> str | None:
    """Who is chosen on dev rows, once all candidates are scored; None where test rows choose, and every candidate goes on."""
    return choose(run.workspace, run.pipeline, resolved)


def _gathered(run: Run, resolved: Mapping[str, Any]) -> Path:
    """What the steps left of every candidate, in the shape that a decision reads."""
    return gather(run.workspace, run.pipeline, resolved, run.workspace.scratch / "evidence" / f"{run.name}.steps")


def _model(run: Run, candidate: str) -> Path:
    """The model folder of a candidate."""
    return run.workspace.artifacts(run.pipeline, f"finetune-{candidate}") / "out" / MODEL


def publish(run: Run, tracker: Tracker, decision: Decision, page: str | None = None) -> str:
    """Put the evidence into the MLflow run, and a description; the decision in Markdown, as Prefect shows it.

    :param page: the run's own, on a Prefect server that stays; None: there is none.
    """
    with _a_report_costs_no_run(run):
        if contradictory := keep(run.workspace, run.pipeline, decision.evidence):
            run.emit({"event": "warning", "message": f"{contradictory}; the report lists them"})
    tracker.log_evidence(run.mlflow_run_id, decision.evidence, decision.verdict.outcome)
    summary = _summary(run, tracker, decision, page)
    _describe(run, tracker, decision, summary)
    return summary


def publish_page(run: Run, tracker: Tracker) -> str | None:
    """Put the page beside the run's evidence, once it is known what became of the model; where it is. None: it could not be made."""
    with _a_report_costs_no_run(run):
        return log_page(tracker, run.name, run.mlflow_run_id)
    return None


def _describe(run: Run, tracker: Tracker, decision: Decision, note: str) -> None:
    """What MLflow's pages show of the run: choices, the numbers that were judged, tags, data sets and the verdict in words."""
    resolved, verdict = read_resolved(run.workspace, run.pipeline), decision.verdict.document()
    records = [files.read_json(path) for path in sorted((run.workspace.root / "artifacts" / run.pipeline).glob("*/record.json"))]
    tracker.log_summary(
        run.mlflow_run_id,
        params=run_summary.parameters(resolved),
        metrics=run_summary.metrics(files.read_json(decision.evidence / "measurements.json"), verdict),
        tags=run_summary.tags(resolved, verdict, records[0]["git"] if records else {"sha": None}),
        data=external_inputs(records),
        note=note,
    )


@contextlib.contextmanager
def _a_report_costs_no_run(run: Run) -> Iterator[None]:
    """Whatever goes wrong inside is a warning: the evidence is what counts, and the page can be made from it later."""
    try:
        yield
    except Exception as fault:  # plots, templates and users' own DAGs fail in ways nobody listed
        traceback.print_exc()  # into the log
        message = f"no report: {type(fault).__name__}: {fault}; `regraft report {run.name}` tries again; log: {run.log}"
        run.emit({"event": "warning", "message": message})


def _summary(run: Run, tracker: Tracker, decision: Decision, page: str | None) -> str:
    verdict, link, report = decision.verdict, *(tracker.page_of(run.mlflow_run_id, below) for below in ("", "/artifacts/report.html"))
    against = f"champion version {verdict.champion.version} ({verdict.champion.digest[:12]})" if verdict.champion else "no champion"
    asked = [f for f in verdict.findings if f.value is not None or f.outcome != "info"]  # what is only said stands below
    rows = [f"| {' | '.join(astuple(row(f.document())))} |" for f in asked]
    return "\n".join(
        [
            f"# {run.pipeline}: {verdict.outcome.upper()}",
            f"{verdict.candidate.name} (`{verdict.candidate.digest[:12]}`) on {verdict.rows.n:,} test rows; {against}.",
            "",
            "| requirement | needed | measured | range | result |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *(f"- {text}".replace("\n", " ") for text in sentences(verdict.findings)),
            "",
            f"- Report: [report.html]({report}), or `regraft open {run.name}`",
            f"- MLflow run [{run.name}]({link}), experiment `regraft/{run.pipeline}`, evidence in `evidence/`",
            *([f"- Prefect flow run [{run.name}]({page})"] if page else []),
            f"- `regraft explain {run.name}` rebuilds the verdict from the stored predictions",
        ]
    )


def tell_whereabouts(run: Run, tracker: Tracker, version: str) -> str:
    """Markdown: where a registered version is in MLflow, and what this run wrote of it into the journal; the MLflow run gets it, too."""
    journal = store_of(run.workspace).journal(run.pipeline)
    ours = [entry for entry in journal.entries() if entry.run == run.name and entry.to and entry.to["version"] == version]
    entries = [f"- journal entry {entry.seq}, {entry.action} by {entry.by}, in {journal.where}" for entry in ours]
    model = f"- [version {version} of `{run.pipeline}`]({tracker.page_of_version(run.pipeline, version)}) in MLflow"
    more = f"- `regraft history {run.pipeline}` shows all entries, `regraft card {run.pipeline} {version}` its card"
    text = "\n".join([model, *entries, more])
    tracker.add_to_note(run.mlflow_run_id, text)
    return text


def withheld(run: Run, decision: Decision) -> str | None:
    """Why a model that passed is not promoted; None: nothing speaks against it."""
    entry = rolled_back(store_of(run.workspace).journal(run.pipeline).entries(), decision.verdict.candidate.digest)
    if entry is None:
        return None
    version = entry.from_["version"] if entry.from_ else "?"
    return (
        f"this model is version {version}, from which {entry.by} rolled back on {entry.at[:10]} ({entry.reason}); "
        f"it passed and is not promoted again without a person: `regraft promote {run.pipeline} {version}`"
    )


def register_candidate(run: Run, tracker: Tracker, decision: Decision, outcomes: Mapping[str, Outcome]) -> str:
    """Register the candidate as challenger; its version. The same run registers it once."""
    verdict = decision.verdict
    model = _model(run, verdict.candidate.name)
    require_same_ids(run.workspace, run.pipeline, model, verdict.candidate.digest, partial(_texts, run))
    return register(
        tracker,
        run.pipeline,
        run_id=run.mlflow_run_id,
        run_name=run.name,
        model_dir=model,
        digest=verdict.candidate.digest,
        verdict=verdict.document(),
        input_example=_texts(run)[:EXAMPLES],
        data_hashes=data_hashes(outcome.record for outcome in outcomes.values()),
        git_sha=outcomes[f"score-{verdict.candidate.name}"].record["git"]["sha"],
    )


def write_card(run: Run, tracker: Tracker, resolved: Mapping[str, Any], version: str) -> None:
    """The model card of a version goes beside its model, before it may become champion."""
    card_store.write(tracker, run.pipeline, version, resolved.get("card"))


def _texts(run: Run) -> list[str]:
    """The texts of the test rows, in the order of their ids."""
    import pyarrow.parquet as pq

    rows = run.workspace.artifacts(run.pipeline, "held_out") / "out" / "test.parquet"
    return [str(text) for text in pq.read_table(rows, columns=["text"])["text"].to_pylist()]


def promote_version(run: Run, tracker: Tracker, decision: Decision, version: str) -> str:
    """Make ``version`` champion, if the champion is still the one of the verdict; what happened, in a sentence."""
    expected = asdict(decision.verdict.champion) if decision.verdict.champion else None
    change = promote(tracker, run.pipeline, version, expected=expected, reason=f"verdict PASS of {run.name}")
    if change.note:
        run.emit({"event": "warning", "message": change.note})
    digest = decision.verdict.candidate.digest
    run.emit({"event": "promoted", "version": version, "digest": digest, "sentence": change.sentence})
    return change.sentence


def ask_for_approval(run: Run, resolved: Mapping[str, Any], decision: Decision, version: str) -> str:
    """Ask people whether ``version`` may become champion; the sentence that says how to answer."""
    verdict = decision.verdict
    champion = asdict(verdict.champion) if verdict.champion else None
    request = approval.ask(
        run.workspace, run.pipeline, run.name, version, verdict.candidate.digest, champion, decision.evidence, resolved["approval"]
    )
    waiting = standing(request, [], datetime.now(UTC)).sentence
    left = rolled_back(store_of(run.workspace).journal(run.pipeline).entries(), verdict.candidate.digest)
    note = f"; {left.by} rolled back from this very model on {left.at[:10]} ({left.reason})" if left else ""
    return f"version {version} passed and {waiting}: `regraft approve {run.name}`, or `regraft reject {run.name} --reason ...`{note}"


def stands_on_waiver(run: Run) -> bool:
    """Whether the champion was promoted on somebody's word; when it passes, it needs that no more."""
    return waived_of(store_of(run.workspace).journal(run.pipeline).entries()) is not None


def write_result(
    run: Run,
    tracker: Tracker,
    resolved: Mapping[str, Any],
    decision: Decision,
    outcomes: Mapping[str, Outcome],
    *,
    exit_code: int,
    sentence: str,
    report: str | None,
    asked: bool = False,
) -> Event:
    """Write what the no-op path will read (``state/latest/<pipeline>.json``), and return it: the run's result."""
    head = store_of(run.workspace).journal(run.pipeline).head()
    verdict, current = decision.verdict, champion(tracker, run.pipeline)
    score = _score_of(run, decision)
    known = [score, (store_of(run.workspace).latest(run.pipeline) or {}).get("champion_score")]
    result: Event = {
        "schema": 1,
        "pipeline": run.pipeline,
        "run": run.name,
        "mlflow_run_id": run.mlflow_run_id,
        "outcome": verdict.outcome,
        "exit": exit_code,
        "sentence": sentence,
        "report": report,
        "candidate": asdict(verdict.candidate),
        "champion": current,
        "score": score,
        "champion_score": next((each for each in known if each and current and each["digest"] == current["digest"]), None),
        "policy_digest": verdict.policy_digest,
        "gates": list(resolved["gates"]),
        "power": power_summary(files.read_json(decision.evidence / "measurements.json")),
        "seed": resolved["seed"],
        **({"by_cost": resolved["by_cost"]} if "by_cost" in resolved else {}),
        **({"approval": True} if asked else {}),
        **({"withheld": without} if (without := decision_in(decision.evidence).get("withheld")) else {}),
        "scores": files.digest_of(outcomes[f"score-{verdict.candidate.name}"].record["outputs"]),
        "journal_seq": head.seq if head else 0,
    }
    store_of(run.workspace).keep_latest(run.pipeline, result)
    return result


def _score_of(run: Run, decision: Decision) -> dict[str, Any]:
    """What the candidate scored on the test rows, in the metric that the gates compare by: ``{digest, run, metric, value, low, high}``."""
    verdict = decision.verdict.document()
    metric = run_summary.compared_metric(verdict)
    judged = run_summary.metrics(files.read_json(decision.evidence / "measurements.json"), verdict)
    ends = {name: judged.get(f"test/{metric}{end}") for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))}
    return {"digest": decision.verdict.candidate.digest, "run": run.name, "metric": metric, **ends}


def notify_hooks(run: Run, resolved: Mapping[str, Any], decision: Decision, result: Event) -> None:
    """Notify whom the pipeline file names, after all is done, so that nobody is told twice; what goes wrong is a warning."""
    for problem in notify(run.workspace, run.name, resolved.get("notify"), document(result, decision.verdict.document())):
        run.emit({"event": "warning", "message": problem})
