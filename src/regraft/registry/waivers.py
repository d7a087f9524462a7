"""What a person may answer for, and what people are shown of a champion that stands on such a promise.

A waiver covers findings of one verdict about one model (:class:`regraft.registry.waiver.Waiver`). It is in force up to
the end of its last day. After that the gate counts again: nothing is taken out of production by itself, but every verb
that looks says so, and what to type next. It ends for good when the same model passes, or another becomes champion.
Here is no IO and no clock: who asks says what time it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from regraft.core.errors import ConfigError, GateFailed, GateInconclusive
from regraft.core.suggest import unknown
from regraft.gates.registry import takes_clean_rows
from regraft.gates.telling import sentence
from regraft.registry.journal import Entry, champion_of, previous_of
from regraft.registry.waiver import Waiver

NEVER = {
    "finite": "answers that are no numbers cannot be compared, and nobody can answer for them",
    "adaptation": "it only chooses between adapted and base, and fails no run",
    "choice": "it only chooses the candidate, and fails no run",
    "identity": "it only says that the candidate is the champion already",
}
"""Findings that are no requirement a person could waive -> why."""
UNSETTLED = ("fail", "inconclusive")
Finding = Mapping[str, Any]


@dataclass(frozen=True)
class Notice:
    """What there is to say of a champion that stands on waivers."""

    version: str
    names: tuple[str, ...]
    """The gates, as ``--waive`` calls them."""
    until: str
    expired: bool
    by: str
    at: str
    reason: str
    seq: int
    """Number of the journal entry."""
    sentences: tuple[str, ...]
    """The sentences of the findings."""
    message: str
    fix: str | None
    """What to type next; None while the waivers are in force."""

    def document(self) -> dict[str, Any]:
        """What stands under ``waiver`` in a pipeline's status."""
        return asdict(self)


def day(text: str, now: datetime, fix: str) -> str:
    """The last day of a waiver as 2026-12-31; ConfigError for what is none, and for one that is over."""
    today = now.astimezone(UTC).date()
    try:
        last_day = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--until {text!r} is not a day: write it as 2026-12-31", fix=fix) from None
    if last_day < today:
        raise ConfigError(f"--until {last_day} lies in the past: today is {today} (UTC), and a waiver that is over waives nothing", fix=fix)
    return last_day.isoformat()


def cover(verdict: Mapping[str, Any], names: Sequence[str], until: str, run: str) -> tuple[Waiver, ...]:
    """Waivers for every finding that failed or stayed open and that one of ``names`` (GATE[:all|clean][:AGAINST][:METRIC]) means.

    A gate on clean rows and the same gate on all rows are told apart by ``clean`` and ``all``; where no test row
    overlaps both say the same, and both are called ``all``.

    :raises ConfigError: a name that no gate has, a gate that held, or one that is no requirement; a verdict that passed.
    :raises GateFailed, GateInconclusive: something else than what is waived stands in the way.
    """
    findings = told_apart(verdict)
    open_ = [finding for finding in findings if finding["outcome"] in UNSETTLED]
    if not open_:
        raise ConfigError(f"{run} passed: there is nothing to waive", fix=f"regraft promote {run}")
    waived = [finding for name in dict.fromkeys(names) for finding in _meant(findings, name, run)]
    if rest := [finding for finding in open_ if finding not in waived]:
        kind = GateFailed if any(finding["outcome"] == "fail" for finding in rest) else GateInconclusive
        never = [finding for finding in rest if finding["gate"] in NEVER]
        fix = f"regraft explain {run}" if never else command(run, open_)
        sentences = " ".join(sentence(finding) for finding in rest)
        raise kind(f"{run} is held back by more than what is waived: {sentences}", fix=fix)
    return tuple(_waiver(finding, until) for finding in open_)


def told_apart(verdict: Mapping[str, Any]) -> list[Finding]:
    """The findings of ``verdict``, each with the ``rows`` that it is about, "all" or "clean"; None for questions that have no such kinds.

    verdict.json says it by the number of rows alone: fewer than there are.
    """
    n, findings = verdict["rows"]["n"], verdict["findings"]
    return [{**f, "rows": ("clean" if f["n"] < n else "all") if takes_clean_rows(f["gate"]) else None} for f in findings]


def _meant(findings: Sequence[Finding], name: str, run: str) -> list[Finding]:
    """The open findings that ``name`` means."""
    open_ = [finding for finding in findings if finding["outcome"] in UNSETTLED]
    gate, *narrower = name.split(":")
    if gate in NEVER:
        raise ConfigError(f"'{gate}' cannot be waived: {NEVER[gate]}", fix=f"regraft explain {run}")
    matching = [f for f in findings if f["gate"] == gate and set(narrower) <= {f["rows"], f["against"], f["metric"]}]
    if not matching:
        known = {n for f in findings if f["gate"] not in NEVER for n in (f["gate"], _waiver(f, "").name)}
        raise ConfigError(f"{run}: {unknown('gate', name, known)}", fix=command(run, open_))
    if not (meant := [finding for finding in matching if finding in open_]):
        raise ConfigError(
            f"the gate '{name}' held in {run}, so there is nothing to waive: {sentence(matching[0])}", fix=command(run, open_)
        )
    return meant


def _waiver(finding: Finding, until: str) -> Waiver:
    return Waiver(_gate(finding), finding["against"], finding["metric"], finding["outcome"], sentence(finding), until)


def _gate(finding: Finding) -> str:
    """``at_least``, on clean rows ``at_least:clean``."""
    return f"{finding['gate']}:clean" if finding["rows"] == "clean" else str(finding["gate"])


def command(run: str, open_: Sequence[Finding], until: str = "YYYY-MM-DD") -> str:
    """What to type to waive the findings ``open_`` of :func:`told_apart`; ``regraft explain`` where that cannot be."""
    gates = {finding["gate"] for finding in open_}
    if not gates or gates & set(NEVER):
        return f"regraft explain {run}"
    both = {gate for gate in gates if {"all", "clean"} <= {f["rows"] for f in open_ if f["gate"] == gate}}
    names = dict.fromkeys(f"{f['gate']}:{f['rows']}" if f["gate"] in both else _gate(f) for f in open_)
    flags = " ".join(f"--waive {name}" for name in names)
    return f'regraft promote {run} {flags} --reason "..." --until {until}'


def waived_of(entries: Sequence[Entry]) -> Entry | None:
    """The promotion by which the champion stands on waivers; None: there is no champion, or it stands on its verdict."""
    champion = champion_of(entries)
    for entry in reversed(entries):
        if champion and entry.action == "promote" and entry.to and entry.to["version"] == champion["version"]:
            return entry if entry.waivers else None
    return None


def notice(pipeline: str, entries: Sequence[Entry], now: datetime) -> Notice | None:
    """What there is to say of the champion's waivers at the moment ``now``, in force or over; None: it stands on none."""
    entry = waived_of(entries)
    if entry is None or entry.to is None:
        return None
    names, until = tuple(dict.fromkeys(waiver.name for waiver in entry.waivers)), entry.waivers[0].until
    expired = entry.waivers[0].expired(now)
    version, granted = entry.to["version"], f"{listed(names)} by {entry.by}"
    message = f"version {version} is champion on a waiver of {granted}, in force until {until}: {entry.reason}"
    fix = None
    if expired:
        message = (
            f"champion version {version} stands on a waiver of {granted} that was over on {until}: what it waived is not proven, and counts"
        )
        fix = f"regraft rollback {pipeline}" if previous_of(entries) else f"regraft run {pipeline}"
    sentences = tuple(waiver.sentence for waiver in entry.waivers)
    return Notice(version, names, until, expired, entry.by, entry.at, entry.reason, entry.seq, sentences, message, fix)


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def told(entry: Entry) -> str:
    """A promotion on waivers, without a clock."""
    names = listed(tuple(dict.fromkeys(waiver.name for waiver in entry.waivers)))
    return f"promoted on {entry.at[:10]} by {entry.by} on a waiver of {names} until {entry.waivers[0].until}: {entry.reason}"
