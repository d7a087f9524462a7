"""The IO shell of a decision: gathers the evidence in one folder, and finds the same verdict in it years later.

An evidence folder holds all that :func:`regraft.gates.policy.judge` reads, and what it said::

    predictions/{adapted,base,tfidf[,champion]}.parquet   labels.json   decision.json   verdict.json

``decision.json`` is the question (gates, seed, digests, champion), ``verdict.json`` the answer, written last: a folder
without it holds no decision. Nothing in it depends on when or where it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft import files
from regraft.config import GateOptions
from regraft.errors import EnvironmentFault
from regraft.gates.policy import MUST_BE_FINITE, Case, Policy, judge
from regraft.gates.verdict import Champion, Rows, Verdict, render
from regraft.score import predictions
from regraft.score.predictions import Table

SCHEMA = 1


def decide(
    pipeline: str,
    gates: Sequence[GateOptions | Mapping[str, Any]],
    seed: int,
    scores_out: Path,
    champion: Champion | None,
    champion_predictions: Path | None,
    champion_problem: str | None,
    evidence: Path,
) -> Verdict:
    """Write the evidence of one decision and return its verdict; the same arguments leave the same bytes.

    :param scores_out: the ``out`` folder of the step ``scores``.
    :param champion_predictions: the champion's answers on the same rows; None without a champion or with a problem.
    :param champion_problem: why the champion could not be scored, in words for the verdict.
    """
    sources = {model: scores_out / f"{model}.parquet" for model in MUST_BE_FINITE}
    if champion and champion_predictions:
        sources["champion"] = champion_predictions
    (evidence / "verdict.json").unlink(missing_ok=True)
    (evidence / "predictions" / "champion.parquet").unlink(missing_ok=True)
    for model, source in sources.items():
        files.write_bytes(_file(evidence, model), source.read_bytes())
    labels, digests = files.read_json(scores_out / "labels.json"), files.read_json(scores_out / "digests.json")
    files.write_json(evidence / "labels.json", labels)

    tables = {model: predictions.read(_file(evidence, model)) for model in sources}
    policy = Policy(tuple(GateOptions.model_validate(gate) for gate in gates), seed)
    decision = {
        "schema": SCHEMA,
        "pipeline": pipeline,
        **policy.document(),
        "digests": {model: digests[model] for model in MUST_BE_FINITE},
        "champion": {"version": champion.version, "digest": champion.digest} if champion else None,
        "champion_problem": _problem(champion, champion_problem, tables.get("champion"), labels),
        "rows": {"digest": digests["rows"], "n": len(tables["base"].ids)},
        "predictions": {model: files.sha256_file(_file(evidence, model)) for model in sources},
    }
    for model in MUST_BE_FINITE:
        if list(tables[model].classes) != labels:
            raise EnvironmentFault(f"the predictions of {model} are about other labels than {scores_out / 'labels.json'}")
    files.write_json(evidence / "decision.json", decision)
    verdict = judge(_case(decision, tables))
    files.write_text(evidence / "verdict.json", render(verdict))
    return verdict


def read_case(evidence: Path) -> tuple[Case, dict[str, Table]]:
    """The stored question, and the predictions it was asked about; ``verdict.json`` is not read.

    Raises EnvironmentFault when a file is missing or is not the one that was decided on.
    """
    path = evidence / "decision.json"
    if not path.is_file():
        raise EnvironmentFault(f"{path} is not there: no decision was written to {evidence}")
    decision = files.read_json(path)
    tables = {}
    for model, sha in decision["predictions"].items():
        file = _file(evidence, model)
        if not file.is_file() or files.sha256_file(file) != sha:
            raise EnvironmentFault(f"{file} is {'changed' if file.is_file() else 'missing'} since the decision was taken on it")
        tables[model] = predictions.read(file)
    return _case(decision, tables), tables


def rejudge(evidence: Path) -> tuple[Case, Verdict]:
    """Decide again on the case of :func:`read_case`."""
    case, _ = read_case(evidence)
    return case, judge(case)


def rebuild(evidence: Path) -> str:
    """The text of ``verdict.json``, made anew by :func:`rejudge`."""
    return render(rejudge(evidence)[1])


def _case(decision: Mapping[str, Any], tables: Mapping[str, Table]) -> Case:
    gates = tuple(GateOptions.model_validate(gate) for gate in decision["gates"])
    return Case(
        pipeline=decision["pipeline"],
        policy=Policy(gates, decision["seed"], decision["resamples"]),
        digests=decision["digests"],
        rows=Rows(**decision["rows"]),
        predictions={model: table.for_gates() for model, table in tables.items()},
        champion=Champion(**decision["champion"]) if decision["champion"] else None,
        champion_problem=decision["champion_problem"],
    )


def _file(evidence: Path, model: str) -> Path:
    return evidence / "predictions" / f"{model}.parquet"


def _problem(champion: Champion | None, said: str | None, table: Table | None, labels: Sequence[str]) -> str | None:
    """Why the champion cannot be compared with, or None."""
    if champion is None or said:
        return said if champion else None
    if table is None:
        return "it was not scored on these rows"
    if table.model not in (None, champion.digest):
        return f"the predictions at hand are those of another model ({table.model[:12]})"
    lost, new = sorted(set(table.classes) - set(labels)), sorted(set(labels) - set(table.classes))
    changes = [f"{word} {', '.join(names)}" for word, names in (("it knows", lost), ("it does not know", new)) if names]
    return f"the label set changed ({'; '.join(changes)})" if changes else None
