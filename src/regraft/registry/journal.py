"""The journal: one numbered, hash-chained entry per decision. Appending is the compare-and-swap.

An entry says that the champion of a pipeline went ``from`` one model ``to`` another, or that a version was
registered. Whoever wants to append must name the number of the entry they have seen last; the key of the next
number is created, which of all who try one can do (:meth:`regraft.core.key_values.KeyValues.create`). The loser gets a
:class:`Conflict`. MLflow's aliases are a projection of the journal (:mod:`regraft.registry.promotion`), never the other way round.

Each entry's hash is vouched for by the next one, the newest one's by a witness beside them
(``.<pipeline>.head``), so that an edited or removed head is noticed too. Whoever can rewrite the chain and the witness
is not stopped by either: ``regraft history`` prints the head's hash, to be noted elsewhere.

``from`` and ``to`` are ``{version, digest}`` or null. A ``register`` entry has ``from`` null and moves no
champion; ``promote`` and ``rollback`` entries do. ``digest`` repeats ``to.digest``, so that one grep over the folder
finds everything that ever happened to a set of weights. ``version`` is MLflow's, as a string. A promotion on waivers
(:mod:`regraft.registry.waiver`) has them under ``waivers`` and is of schema 2; every other entry is of schema 1.

This module imports nothing heavy: the no-op path reads the head of a journal in well under 5 ms.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import Conflict, EnvironmentFault, Problem
from regraft.core.key_values import KeyValues
from regraft.registry.waiver import Waiver, is_waiver

SCHEMA, WITH_WAIVERS = 1, 2
Action = Literal["register", "promote", "rollback"]
Model = dict[str, str]
"""``{version, digest}``."""
KEYS = frozenset({"schema", "seq", "at", "pipeline", "action", "from", "to", "digest", "run", "by", "reason", "prev"})
SHAPES = ((SCHEMA, KEYS), (WITH_WAIVERS, KEYS | {"waivers"}))
_NUMBERED = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    seq: int
    at: str
    pipeline: str
    action: Action
    from_: Model | None
    to: Model | None
    digest: str
    run: str
    by: str
    reason: str
    prev: str
    """sha256 of the previous entry's file; empty for the first."""
    sha: str
    """sha256 of this entry's file."""
    waivers: tuple[Waiver, ...] = ()
    """Findings that this promotion answers for; all of one last day."""


class Journal:
    """``journal/<pipeline>/<seq:08d>.json`` of a store."""

    def __init__(self, values: KeyValues, pipeline: str) -> None:
        self.pipeline = pipeline
        self._values = values
        self._folder, self._head = f"journal/{pipeline}", f"journal/.{pipeline}.head"

    @property
    def where(self) -> str:
        """Where its entries lie, as people are told."""
        return self._values.where(self._folder)

    def head(self) -> Entry | None:
        """The newest entry, its link to the one before it and its witness checked; None where there is none."""
        witness = self._witness()
        numbers = self._numbers()
        if not numbers and not witness:
            return None
        last = numbers[-1] if numbers else 0
        data = self._values.get(self.key(last))
        if problem := self._unwitnessed(witness, last, data):
            raise self._fault([problem])
        before = self._values.get(self.key(last - 1))
        return self._read(last, data or b"", files.sha256_bytes(before) if before is not None else "")

    def entries(self) -> list[Entry]:
        entries, problems = self._examine()
        if problems:
            raise self._fault(problems)
        return entries

    def _fault(self, problems: list[Problem]) -> EnvironmentFault:
        return EnvironmentFault(
            f"the journal of '{self.pipeline}' is not what was written: {problems[0]['message']}",
            fix=f"restore {self.where} from a backup, then run the command again",
            problems=problems,
        )

    def verify(self) -> list[Problem]:
        """What is wrong with it: gaps, files that are not entries, entries that were edited; one a file."""
        return self._examine()[1]

    @property
    def witnessed(self) -> bool:
        """Whether an edit of the newest entry would be noticed; not where an older regraft or a kill left no witness of it."""
        witness, numbers = self._witness(), self._numbers()
        return bool(witness and numbers and witness["seq"] == numbers[-1])

    def append(
        self,
        seen: int,
        action: Action,
        *,
        from_: Model | None,
        to: Model | None,
        run: str,
        reason: str,
        by: str | None = None,
        waivers: Sequence[Waiver] = (),
    ) -> Entry:
        """Add entry ``seen + 1``; 0 means that no entry was there. Durable when it returns."""
        head = self.head()
        if (head.seq if head else 0) != seen:
            raise self._lost(seen)
        values: dict[str, Any] = {
            "schema": SCHEMA,
            "seq": seen + 1,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "pipeline": self.pipeline,
            "action": action,
            "from": from_,
            "to": to,
            "digest": to["digest"] if to else "",
            "run": run,
            "by": by or whoami(),
            "reason": reason,
            "prev": head.sha if head else "",
        }
        if waivers:
            values |= {"schema": WITH_WAIVERS, "waivers": [asdict(waiver) for waiver in waivers]}
        data = (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        if not self._values.create(self.key(seen + 1), data):
            raise self._lost(seen)
        entry = self._read(seen + 1, data, values["prev"])
        with contextlib.suppress(OSError, EnvironmentFault):  # the entry stands; until the next one only the witness is missing
            self._values.put(self._head, files.json_bytes({"seq": entry.seq, "sha256": entry.sha}))
        return entry

    def _lost(self, seen: int) -> Conflict:
        return Conflict(
            f"'{self.pipeline}' has changed since entry {seen} of its journal was read; nothing was changed by this command",
            fix=f"regraft status {self.pipeline}",
        )

    def key(self, seq: int) -> str:
        """What the entry of this number is kept under."""
        return f"{self._folder}/{seq:08d}.json"

    def _numbers(self) -> list[int]:
        return _numbered(self._values.names(self._folder))

    def _examine(self) -> tuple[list[Entry], list[Problem]]:
        """Every entry that can be read, and what is wrong with any."""
        witness = self._witness()
        texts = self._values.read(self._folder)
        entries: list[Entry] = []
        problems: list[Problem] = []
        broken: set[int] = set()  # entries that do not name the hash of the one before
        expected = 1
        prev: str | None = ""
        data: bytes | None = None
        for seq in _numbered(texts):
            if seq != expected:
                problems.append(self._missing(expected))
                prev = None
            data = texts[f"{seq:08d}.json"]
            try:
                entries.append(self._read(seq, data, prev))
            except EnvironmentFault as fault:
                if fault.problems[0]["rule"] == "chain":
                    broken.add(seq)
                else:
                    problems += fault.problems
            prev, expected = files.sha256_bytes(data), seq + 1
        if problem := self._unwitnessed(witness, expected - 1, data):
            problems.append(problem)
            broken |= {expected} if problem["rule"] == "chain" else set()
        # An entry with two broken links was edited itself; with one, the entry before it was.
        problems += [self._edited(seq if seq + 1 in broken else seq - 1) for seq in sorted(broken)]
        return entries, list({problem["file"]: problem for problem in reversed(problems)}.values())[::-1]

    def _witness(self) -> dict[str, Any] | None:
        """``{seq, sha256}`` of an entry that was the newest; None: nothing was noted.

        Read it before the entries: what it names must be there then.
        """
        text = self._values.get(self._head)
        if text is None:  # a journal of regraft 0.1.0 has none yet
            return None
        try:
            value = json.loads(text)
            return {"seq": int(value["seq"]), "sha256": str(value["sha256"])}
        except (ValueError, KeyError, TypeError):
            problem = Problem(message="the witness of its head cannot be read", file=self._values.where(self._head), rule="json")
            raise self._fault([problem]) from None

    def _unwitnessed(self, witness: dict[str, Any] | None, last: int, data: bytes | None) -> Problem | None:
        """What the witness has against the entries up to ``last``, whose bytes are ``data``; None: nothing."""
        if witness is None or witness["seq"] < last:  # then the entry after it vouches for it
            return None
        if witness["seq"] > last:
            return self._missing(last + 1)
        return self._edited(last) if files.sha256_bytes(data or b"") != witness["sha256"] else None

    def _missing(self, seq: int) -> Problem:
        where = self._values.where(self.key(seq))
        return Problem(message=f"entry {seq} is missing: {where}", file=where, rule="gap")

    def _edited(self, seq: int) -> Problem:
        where = self._values.where(self.key(seq))
        return Problem(message=f"entry {seq} was edited after it was written: {where}", file=where, rule="chain")

    def _read(self, seq: int, data: bytes, prev: str | None) -> Entry:
        """Entry ``seq`` of its bytes. ``prev`` is the hash that it must name; None: unknown, because the entry before it is gone."""
        try:
            value: Any = json.loads(data)
            rule = _broken_rule(value, seq, self.pipeline, prev)
        except ValueError:
            value, rule = {}, "json"
        if rule:
            where = self._values.where(self.key(seq))
            message = f"entry {seq}: {_RULES[rule]}: {where}"
            problem = Problem(message=message, file=where, rule=rule)
            summary, fix = f"the journal of '{self.pipeline}' is not what was written: {message}", f"restore {self.where} from a backup"
            raise EnvironmentFault(summary, fix=fix, problems=[problem])
        plain = {key: value[key] for key in KEYS - {"schema", "from"}}
        waivers = tuple(Waiver(**waiver) for waiver in value.get("waivers", ()))
        return Entry(from_=value["from"], sha=files.sha256_bytes(data), waivers=waivers, **plain)


def journals(values: KeyValues) -> list[str]:
    """Names of the pipelines that have a journal in ``values``, their files gone or not; also one of which only the witness is left."""
    names = (re.fullmatch(r"([a-z][a-z0-9_]*)/\d{8}\.json|\.([a-z][a-z0-9_]*)\.head", name) for name in values.names("journal"))
    return sorted({name[1] or name[2] for name in names if name})


def _numbered(names: Iterable[str]) -> list[int]:
    return sorted(int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name)))


_RULES = {
    "json": "it is not JSON",
    "schema": f"it is no entry of schema {SCHEMA} or {WITH_WAIVERS}",
    "seq": "its number or pipeline is not the one of its file",
    "chain": "its `prev` is not the sha256 of the entry before it, so one of the two was edited",
}


def _broken_rule(value: Any, seq: int, pipeline: str, prev: str | None) -> str | None:
    """The rule of an entry that ``value`` breaks, a key of ``_RULES``; None: it is an entry."""
    if not isinstance(value, dict) or not any(value.get("schema") == schema and value.keys() == keys for schema, keys in SHAPES):
        return "schema"
    if "waivers" in value and not (isinstance(value["waivers"], list) and value["waivers"] and all(map(is_waiver, value["waivers"]))):
        return "schema"
    if (value["seq"], value["pipeline"]) != (seq, pipeline):
        return "seq"
    return "chain" if prev is not None and value["prev"] != prev else None


def champion_of(entries: Sequence[Entry]) -> dict[str, str] | None:
    """``{version, digest, run, since}`` of the champion, or None. Promoting the champion again, on other waivers, is no new reign."""
    reign: Entry | None = None
    for entry in entries:
        if entry.action != "register" and (reign is None or entry.to != reign.to):
            reign = entry
    return {**reign.to, "run": reign.run, "since": reign.at} if reign and reign.to else None


def challenger_of(entries: Sequence[Entry]) -> dict[str, str] | None:
    """``{version, digest, run, since}`` of the last registered version; None: there is none, or it has become champion since."""
    for entry in reversed(entries):
        if entry.action == "register" and entry.to:
            was_champion = any(e.action != "register" and e.to == entry.to for e in entries)
            return None if was_champion else {**entry.to, "run": entry.run, "since": entry.at}
    return None


def previous_of(entries: Sequence[Entry]) -> Model | None:
    """What a rollback goes back to: the champion below the present one on the stack of promotions; None: there is none.

    A rollback pops the stack, so that two rollbacks in a row go two champions back and not forth again.
    """
    stack: list[Model] = []
    for entry in entries:
        if entry.action == "promote" and entry.to and stack[-1:] != [entry.to]:
            stack.append(entry.to)
        elif entry.action == "rollback" and entry.to:
            while stack and stack[-1] != entry.to:
                stack.pop()
            stack = stack or [entry.to]
    return stack[-2] if len(stack) > 1 else None


def rolled_back(entries: Sequence[Entry], digest: str) -> Entry | None:
    """The entry by which people left the model with ``digest``; None if nobody did, or a later entry brought it back.

    Such a model is not promoted again by a schedule: someone has seen what no gate saw.
    """
    for entry in reversed(entries):
        if entry.action != "register" and entry.to and entry.to["digest"] == digest:
            return None
        if entry.action == "rollback" and entry.from_ and entry.from_["digest"] == digest:
            return entry
    return None


def whoami() -> str:
    """Who stands in the journal: on CI the person who triggered the job, else the user of this process."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_CREATOR"):
        if os.environ.get("CI") and (actor := os.environ.get(name)):
            return actor
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user without a name
        return f"uid {os.getuid()}"
