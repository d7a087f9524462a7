"""Cards of registered versions: made, stored with the version, read back, verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from regraft.core import files
from regraft.core.errors import EnvironmentFault, Problem, RegraftError
from regraft.core.workspace import Workspace
from regraft.gates.telling import sentence
from regraft.models import base_model
from regraft.registry.beside import put_beside, read_beside
from regraft.registry.journal import Entry, champion_of
from regraft.registry.registration import registered
from regraft.registry.run_summary import PAGE
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker
from regraft.registry.waivers import told
from regraft.reports.card import CARD, SAID, SCHEMA
from regraft.reports.card.facts import Facts, gather
from regraft.reports.card.render import Said, card, lines
from regraft.reports.card.verify import mismatches, numbers


@dataclass(frozen=True)
class Verified:
    """A card that says what its artifacts say."""

    version: str
    numbers: int
    sources: tuple[str, ...]
    """The artifacts that vouch for them."""


def entry_of(tracker: Tracker, pipeline: str, version: int | None) -> Entry:
    """The registration of ``version``: the champion without one, else the newest."""
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    champion = champion_of(entries)
    newest = next((e.to["version"] for e in reversed(entries) if e.action == "register" and e.to), None)
    chosen = str(version) if version is not None else champion["version"] if champion else newest
    if chosen is None:
        raise store_of(tracker.workspace).nothing_yet(pipeline, "registered version")
    return registered(entries, pipeline, chosen)


def facts_of(tracker: Tracker, entry: Entry) -> Facts:
    """The facts about a version, from the artifacts of the run that made it."""
    run = tracker.find_run(entry.run, decided=True)
    journal = store_of(tracker.workspace).journal(entry.pipeline).entries()
    waived = tuple(each for each in journal if each.waivers and each.to == entry.to)
    try:
        facts = gather(entry, run.run_id, tracker.download(run, "evidence"), tracker.download(run, "records"))
        return replace(facts, waived=waived)
    except EnvironmentFault as fault:
        fault.fix = fault.fix or f"regraft explain {entry.run}"
        raise


def write(tracker: Tracker, pipeline: str, version: str, options: Mapping[str, Any] | None) -> str:
    """Make the card of ``version``, store it with the version and return its text. ``options``: the resolved file's ``card``."""
    entry = registered(store_of(tracker.workspace).journal(pipeline).entries(), pipeline, version)
    facts = facts_of(tracker, entry)
    statements = Said.of({**(options or {}), "base_license": _base_license(tracker.workspace, facts)})
    text = card(facts, statements)
    stored = {"pipeline": pipeline, "version": version, **asdict(statements)}
    document = json.dumps(stored, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    put_beside(tracker, pipeline, version, {CARD: text, SAID: document}, _description(facts, _links(tracker, entry.run)))
    return text


def stored(tracker: Tracker, pipeline: str, version: str) -> tuple[str, Said] | None:
    """The card that lies with ``version``, and what people said in it; None where there is none."""
    text, document = (read_beside(tracker, pipeline, version, name) for name in (CARD, SAID))
    if text is None or document is None:
        return None
    try:
        values = json.loads(document)
        schema = values["schema"]
    except (ValueError, KeyError, TypeError) as error:
        name = f"{SAID} of version {version} of '{pipeline}'"
        raise EnvironmentFault(f"{name} cannot be read: {error}", fix=f"regraft card write {pipeline} {version}") from None
    if schema not in range(1, SCHEMA + 1):
        raise EnvironmentFault(f"the card of version {version} has schema {schema}, this regraft reads 1 to {SCHEMA}", fix="regraft doctor")
    return text, Said.of(values)


def verify(tracker: Tracker, pipeline: str, version: int | None) -> Verified:
    """Compare every number of a stored card with its artifact.

    Raises ``EnvironmentFault`` with a problem for each line that differs, and for evidence that is not what was decided on.
    """
    entry = entry_of(tracker, pipeline, version)
    assert entry.to is not None
    chosen = entry.to["version"]
    again = f"regraft card write {pipeline} {chosen}"
    if (kept_card := stored(tracker, pipeline, chosen)) is None:
        raise EnvironmentFault(f"version {chosen} of '{pipeline}' has no card", fix=again)
    text, statements = kept_card
    facts = facts_of(tracker, entry)
    expected = lines(facts, statements)
    evidence = _evidence_problems(tracker, entry, facts)
    if problems := [*evidence, *mismatches(text, expected)]:
        count = f"{len(problems)} mismatch{'es' * (len(problems) > 1)}"
        message = f"the card of version {chosen} of '{pipeline}' and its artifacts do not say the same: {count}"
        raise EnvironmentFault(message, fix=f"regraft explain {entry.run}" if evidence else again, problems=problems)
    sources = dict.fromkeys(line.source for line in expected if numbers(line.text))
    return Verified(chosen, numbers(text), tuple(sources))


def _evidence_problems(tracker: Tracker, entry: Entry, facts: Facts) -> list[Problem]:
    """verdict.json is what its predictions say, or a problem."""
    path = tracker.download(tracker.find_run(entry.run, decided=True), "evidence") / "verdict.json"
    try:
        if files.read_json(path) == facts.verdict:
            return []
    except (OSError, ValueError):
        pass  # it is missing, or no JSON
    return [Problem(message="it is not what its predictions say", file=str(path), rule="evidence", fix=f"regraft explain {entry.run}")]


def _base_license(workspace: Workspace, facts: Facts) -> str | None:
    """What the README.md in the base model's folder states; None where the folder is gone or says nothing."""
    from huggingface_hub import metadata_load
    from yaml import YAMLError

    specs = [record["params"]["base_model"] for record in facts.records.values() if "base_model" in record["params"]]
    try:
        readme = base_model.locate(specs[0], workspace.root) / CARD
        metadata = metadata_load(readme) if readme.is_file() else None
    except (RegraftError, IndexError, ValueError, YAMLError):
        return None
    licence = (metadata or {}).get("license")
    return licence if isinstance(licence, str) else None


def _links(tracker: Tracker, name: str) -> str:
    """Markdown: the pages about the run that registered a version."""
    run = tracker.find_run(name, decided=True)
    page, mlflow_run = (tracker.page_of(run.run_id, below) for below in (f"/artifacts/{PAGE}", ""))
    pages = {"page": page, "MLflow run": mlflow_run, "Prefect flow run": run.flow_run}
    return f"Run {name}: {', '.join(f'[{words}]({address})' for words, address in pages.items() if address)}."


def _description(facts: Facts, links: str) -> str:
    """What MLflow shows with the version: at most 5,000 characters fit its database.

    :param links: to the run's pages.
    """
    pipeline, verdict = facts.verdict["pipeline"], facts.verdict
    proofs = "\n".join(f"- {finding['outcome']}: {sentence(finding)}" for finding in verdict["findings"])
    end = f"\n\n{links}\n\nModel card: {CARD} beside the model, or `regraft card {pipeline} {facts.version}`."
    waived = "".join(f"\n\nThis version was {told(entry)}." for entry in facts.waived)
    return f"{verdict['outcome'].upper()} on {verdict['rows']['n']:,} test rows.{waived}\n\n{proofs}"[: 5000 - len(end)] + end
