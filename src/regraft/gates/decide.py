"""The IO shell of a decision: gathers the evidence in one folder, and finds the same verdict in it years later.

An evidence folder holds all that :func:`regraft.gates.policy.evaluate` reads, and what it said::

    predictions/{adapted,base,tfidf[,champion]}.parquet   labels.json   slices.parquet   decision.json
    measurements.json   negative_flips.csv   verdict.json   [the tables that its gates declare]
    [seeds/<candidate>.{2,3...}.parquet]   [dev/<candidate>.parquet, where dev rows choose the candidate]

``decision.json`` is the question (gates, seed, digests, champion), ``verdict.json`` the answer, written last: a folder
without it holds no decision. Nothing in it depends on when or where it was written. Decisions of 0.2 may vouch for an
``adaptation.json``, what adaptation was expected to change: it decides nothing. Decisions of schema 1 know no
slices, no measurements and no power; up to schema 2 a verdict held sentences. They are judged and told as they were then.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.sheets import cell
from regraft.data.tables import write_table
from regraft.evaluation import predictions
from regraft.evaluation.label_issues import Suspect
from regraft.evaluation.predictions import Table
from regraft.evaluation.stats import unseen
from regraft.evaluation.stats.slices import SliceTable
from regraft.gates import choice, schema_1
from regraft.gates.comparison import Comparison
from regraft.gates.evidence import decision_in, seeds, unchanged
from regraft.gates.evidence import tables as kept_tables
from regraft.gates.measurements import measurements
from regraft.gates.options import DISCOVERED_SLICES, GateOptions
from regraft.gates.policy import MUST_BE_FINITE, Case, Policy, choose, evaluate
from regraft.gates.registry import all_tables, gate_of, read_all, read_stored
from regraft.gates.registry import tables as tables_of
from regraft.gates.verdict import Champion, ClassChange, Facts, Rows, Verdict, render, text_of

SCHEMA = 3
DEV, CHOICE = "dev", "choice.json"
DERIVED = ("verdict.json", "measurements.json", "negative_flips.csv", "slices.parquet", "predictions/champion.parquet")


@dataclass(frozen=True)
class Evaluation:
    """A decision taken again from stored evidence."""

    case: Case
    verdict: Verdict
    comparison: Comparison | None
    """All that was compared; None where the predictions could not be used."""
    schema: int
    """Of the decision."""

    @property
    def measured(self) -> bool:
        """Whether the decision left measurements: those of schema 1 did not."""
        return self.schema > 1

    def texts(self) -> dict[str, str]:
        """``{file: its text}`` of everything that follows from the evidence."""
        texts = {"verdict.json": self.verdict_text()}
        return {**texts, "measurements.json": _measured(self.case, self.comparison)} if self.measured else texts

    def verdict_text(self) -> str:
        """The bytes of ``verdict.json``; up to decisions of schema 2 it held sentences."""
        return render(self.verdict) if self.schema > 2 else schema_1.render(self.verdict)


def decide(
    pipeline: str,
    gates: Sequence[GateOptions | Mapping[str, Any]],
    seed: int,
    scores_out: Path,
    champion: Champion | None,
    champion_predictions: Path | None,
    champion_problem: Facts | None,
    evidence: Path,
    decisions: int | None = None,
    measured: Mapping[str, Path] | None = None,
) -> Verdict:
    """Write the evidence of one decision and return its verdict; the same arguments leave the same bytes.

    :param scores_out: the ``out`` folder of the step ``scores``; what single gates need of other steps lies beside that step.
    :param champion_predictions: the champion's answers on the same rows; None without a champion or with a problem.
    :param champion_problem: why the champion could not be scored: a ``code``, and what belongs to it.
    :param decisions: how many different decisions were taken on these test rows, this one included; None: not counted.
    :param measured: key of a table -> its file, of what the run measured of the candidate alone; None where no gate asks.
    """
    opened = _opened(scores_out)
    by_cost, models = opened.by_cost, opened.models
    sources = {model: scores_out / f"{model}.parquet" for model in models}
    if champion and champion_predictions:
        sources["champion"] = champion_predictions
    _copy_answers(scores_out, sources, by_cost, evidence)
    labels, digests = files.read_json(scores_out / "labels.json"), files.read_json(scores_out / "digests.json")
    files.write_json(evidence / "labels.json", labels)

    tables = {model: predictions.read(_file(evidence, model)) for model in sources}
    policy = _policy(gates, seed, by_cost)
    slices = _keep_slices(scores_out / "slices.parquet", evidence / "slices.parquet", policy.gates)
    decision = {
        "schema": SCHEMA,
        "pipeline": pipeline,
        **policy.document(),
        "digests": {model: digests[model] for model in dict.fromkeys((*models, *by_cost))},
        "champion": {"version": champion.version, "digest": champion.digest} if champion else None,
        "champion_problem": (problem := _problem(champion, champion_problem, tables.get("champion"), labels)),
        **({"classes": change} if not problem and (change := _class_change(tables.get("champion"), labels)) else {}),
        "rows": {"digest": digests["rows"], "n": len(tables[models[0]].ids)},
        "predictions": {model: files.sha256_file(_file(evidence, model)) for model in sources},
        "slices": files.sha256_file(evidence / "slices.parquet") if slices else None,
        "decisions": decisions,
        "evidence": kept_tables.keep(scores_out.parents[1], evidence, tables_of(policy.gates), measured or {}),
        **({"withheld": list(opened.withheld)} if opened.withheld else {}),
        **({"same": dict(opened.same)} if opened.same else {}),
        **({"dev": [{"model": name, "sha256": files.sha256_file(_dev(evidence, name))} for name in by_cost]} if by_cost else {}),
        **({"seeds": hashes} if (hashes := seeds.keep(scores_out.parents[1], evidence, policy.gates, digests["rows"])) else {}),
    }
    for model in models:
        if list(tables[model].classes) != labels:
            raise EnvironmentFault(f"the predictions of {model} are about other labels than {scores_out / 'labels.json'}")
    files.write_json(evidence / "decision.json", decision)
    return _judged(evidence)


def _judged(evidence: Path) -> Verdict:
    """The verdict on what was written, and the files that tell of it."""
    case, tables = read_case(evidence)
    verdict, comparison = evaluate(case)
    files.write_text(evidence / "measurements.json", _measured(case, comparison))
    there = comparison.against("champion") if comparison else None
    if there and "champion" in there.paired.preds:
        lost = there.paired.ids_of(there.paired.lost(there.candidate, "champion"))
        flips = _flips(frozenset(lost), tables["champion"], tables[there.candidate], case.row_quality.label_issues)
        files.write_text(evidence / "negative_flips.csv", flips)
    files.write_text(evidence / "verdict.json", render(verdict))
    return verdict


def _copy_answers(scores_out: Path, sources: Mapping[str, Path], by_cost: Sequence[str], evidence: Path) -> None:
    """Put the answers that are compared into ``evidence``, out of which goes all that an earlier decision left."""
    for name in (*DERIVED, *all_tables()):
        (evidence / name).unlink(missing_ok=True)
    shutil.rmtree(evidence / DEV, ignore_errors=True)
    for name in by_cost:
        files.write_bytes(_dev(evidence, name), _dev(scores_out, name).read_bytes())
    for model, source in sources.items():
        files.write_bytes(_file(evidence, model), source.read_bytes())


def candidate(gates: Sequence[Mapping[str, Any]], seed: int, scores_out: Path) -> str | None:
    """Who the candidate of :func:`decide` is going to be, adapted or base, for what is measured of it alone; None: nobody."""
    opened = _opened(scores_out)
    if opened.by_cost:
        return opened.models[0]
    digests = files.read_json(scores_out / "digests.json")
    answers = {model: predictions.read(scores_out / f"{model}.parquet").for_gates() for model in MUST_BE_FINITE}
    policy = _policy(gates, seed, ())
    rows = Rows(digests["rows"], len(answers["base"].ids))
    return choose(Case("", policy, digests, rows, answers, seeds=seeds.of_step(scores_out.parents[1], policy.gates)))


def question(gates: Sequence[Mapping[str, Any]], seed: int, scores_out: Path, champion: Champion | None) -> tuple[str, dict[str, Any]]:
    """(digest of the test rows, what :func:`decide` would ask them): a ledger's key for one decision."""
    digests = files.read_json(scores_out / "digests.json")
    opened = _opened(scores_out)
    models = {model: digests[model] for model in opened.models} | {"champion": champion.digest if champion else None}
    return digests["rows"], {**_policy(gates, seed, opened.by_cost).document(), "models": models}


def chosen(gates: Sequence[Mapping[str, Any]], seed: int, dev: Mapping[str, Path]) -> str:
    """Who is chosen on dev rows; ``dev``: candidate -> its answers to them, the cheapest first. No answer to a test row is read."""
    answers = {name: predictions.read(path).for_gates() for name, path in dev.items()}
    return choice.choose(Case("", _policy(gates, seed, tuple(dev)), {}, Rows("", 0), {}, dev=answers)).name


@dataclass(frozen=True)
class Opened:
    """What was brought together for a decision besides the answers themselves."""

    models: tuple[str, ...] = MUST_BE_FINITE
    """Those whose answers to test rows are there; where dev rows choose, the candidate first."""
    by_cost: tuple[str, ...] = ()
    """The candidates that dev rows choose among, the cheapest first; empty where test rows choose."""
    withheld: tuple[Facts, ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)
    """Model that a gate compares with -> the candidate that is the very same."""


def _opened(scores_out: Path) -> Opened:
    path = scores_out / CHOICE
    return Opened(**files.read_json(path)) if path.is_file() else Opened()


def _policy(gates: Sequence[GateOptions | Mapping[str, Any]], seed: int, by_cost: Sequence[str]) -> Policy:
    return Policy(read_all(gates), seed, interval=unseen.NAME, choose_on="dev" if by_cost else None)


def read_case(evidence: Path) -> tuple[Case, dict[str, Table]]:
    """The stored question, and the predictions it was asked about; ``verdict.json`` is not read.

    Raises EnvironmentFault when a file is missing or is not the one that was decided on, or a gate is not installed.
    """
    decision = decision_in(evidence)
    gates = read_stored(decision["gates"])  # first: a gate that is not here cannot read its evidence either
    tables = {model: predictions.read(unchanged(_file(evidence, model), sha)) for model, sha in decision["predictions"].items()}
    slices = _read_slices(unchanged(evidence / "slices.parquet", sha)) if (sha := decision.get("slices")) else None
    if sha := decision.get("adaptation"):  # of 0.2
        unchanged(evidence / "adaptation.json", sha)
    of_steps = {
        "evidence": kept_tables.read(evidence, kept_tables.hashes(decision), all_tables()),
        "seeds": seeds.read(evidence, decision.get("seeds")),
    }
    if dev := decision.get("dev"):
        files_of = {item["model"]: unchanged(_dev(evidence, item["model"]), item["sha256"]) for item in dev}
        of_steps["dev"] = {name: predictions.read(path).for_gates() for name, path in files_of.items()}  # by cost
    return _case(decision, gates, tables, slices, of_steps), tables


def reevaluate(evidence: Path) -> Evaluation:
    """Decide again on the case of :func:`read_case`."""
    case, _ = read_case(evidence)
    return Evaluation(case, *evaluate(case), schema=decision_in(evidence)["schema"])


def _measured(case: Case, comparison: Comparison | None) -> str:
    """The text of ``measurements.json``."""
    return text_of(measurements(case, comparison))


def _keep_slices(source: Path, target: Path, gates: Sequence[GateOptions]) -> SliceTable | None:
    """Copy what gates slice by, and what was discovered, into the evidence; other columns of the data stay where they are.

    None: there is no file, and no gate slices.
    """
    required = {column for gate in gates for column in gate_of(gate).columns(gate)}
    if not source.is_file():
        if required:
            raise EnvironmentFault(
                f"{source} is not there: the step 'scores' is of an older version, which knows no slices", fix="regraft dvc"
            )
        return None
    table = _read_slices(source)
    if absent := sorted(required - set(table.columns)):
        existing = ", ".join(table.columns)
        raise ConfigError(f"gates: the labelled rows have no column {absent[0]!r} to slice by; they have {existing}")
    columns = {name: table.columns[name] for name in sorted({*required, *DISCOVERED_SLICES} & set(table.columns))}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_table(target, {"id": table.ids, **columns})
    return SliceTable(table.ids, columns)


def _read_slices(path: Path) -> SliceTable:
    import pyarrow.parquet as pq

    columns = pq.read_table(path).to_pydict()
    return SliceTable(columns.pop("id"), columns)


def _flips(lost: frozenset[str], before: Table, now: Table, issues: Mapping[str, Suspect] | None) -> str:
    """The rows that are ``lost``, by id, for a spreadsheet; and whether the label is suspect where anybody looked."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "label", "champion", "candidate", *(() if issues is None else ("suspect", "suggested"))))
    was = dict(zip(before.ids, before.preds, strict=True))
    for row, label, pred in zip(now.ids, now.labels, now.preds, strict=True):
        if row in lost:
            doubt = () if issues is None else ("yes", issues[row].suggested) if row in issues else ("no", "")
            writer.writerow(map(cell, (row, label, was[row], pred, *doubt)))
    return text.getvalue()


def rebuild(evidence: Path) -> str:
    """The text of ``verdict.json``, made anew by :func:`reevaluate`."""
    return reevaluate(evidence).verdict_text()


def _case(
    decision: Mapping[str, Any],
    gates: tuple[GateOptions, ...],
    tables: Mapping[str, Table],
    slices: SliceTable | None,
    of_steps: Mapping[str, Any],
) -> Case:
    case = Case(
        pipeline=decision["pipeline"],
        policy=Policy(
            gates,
            decision["seed"],
            decision["resamples"],
            power=decision.get("power"),
            interval=decision.get("interval"),
            choose_on=decision.get("choose_on"),
        ),
        digests=decision["digests"],
        rows=Rows(**decision["rows"]),
        predictions={model: table.for_gates() for model, table in tables.items()},
        champion=Champion(**decision["champion"]) if decision["champion"] else None,
        champion_problem=_problem_of(decision["champion_problem"]),
        classes=ClassChange(*(tuple(change[key]) for key in ("new", "vanished"))) if (change := decision.get("classes")) else None,
        slices=slices,
        decisions=decision.get("decisions"),
        withheld=tuple(decision.get("withheld", ())),
        same=decision.get("same", {}),
        **of_steps,
    )
    for evidence in case.evidence.values():
        if check := getattr(evidence, "check", None):
            check(case.predictions)
    return case


def _problem_of(stored: Facts | str | None) -> Facts | None:
    """Up to decisions of schema 2 a problem of the champion was a sentence."""
    return {"code": "stated", "message": stored} if isinstance(stored, str) else stored


def _file(evidence: Path, model: str) -> Path:
    return evidence / "predictions" / f"{model}.parquet"


def _dev(folder: Path, candidate: str) -> Path:
    return folder / DEV / f"{candidate}.parquet"


def _problem(champion: Champion | None, stated: Facts | None, table: Table | None, labels: Sequence[str]) -> Facts | None:
    """Why the champion cannot be compared with, or None."""
    if champion is None or stated:
        return stated if champion else None
    if table is None:
        return {"code": "not_scored"}
    if table.model not in (None, champion.digest):
        return {"code": "other_model", "digest": table.model}
    if not set(table.classes) & set(labels):
        return {"code": "labels", "lost": sorted(table.classes), "new": sorted(labels)}
    return None


def _class_change(champion: Table | None, labels: Sequence[str]) -> dict[str, list[str]] | None:
    """Classes that only today's ``labels`` have, and only the champion; None where both have the same, or there is no champion."""
    if champion is None:
        return None
    new, vanished = sorted(set(labels) - set(champion.classes)), sorted(set(champion.classes) - set(labels))
    return {"new": new, "vanished": vanished} if new or vanished else None
