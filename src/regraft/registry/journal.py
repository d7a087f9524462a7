"""The journal: one numbered, hash-chained file per decision. Appending is the compare-and-swap.

An entry says that the champion of a pipeline went ``from`` one model ``to`` another, or that a version was
registered. Whoever wants to append must name the number of the entry they have seen last; the file of the next
number is created by a hard link, which exactly one process can do. The loser gets a :class:`Conflict`. MLflow's
aliases are a projection of the journal (:mod:`regraft.registry.promotion`), never the other way round.

Each entry's hash is vouched for by the next one, the newest one's by a witness beside the folder
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
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import Conflict, EnvironmentFault, Problem
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


class FileJournal:
    """``<state>/journal/<pipeline>/<seq:08d>.json`` on a file system with hard links."""

    def __init__(self, state: Path, pipeline: str) -> None:
        self.folder = state / "journal" / pipeline
        self.pipeline = pipeline
        self._head_file = state / "journal" / f".{pipeline}.head"

    def head(self) -> Entry | None:
        """The newest entry, its link to the one before it and its witness checked; None where there is none."""
        witness = self._witness()
        numbers = self._numbers()
        if not numbers and not witness:
            return None
        last = numbers[-1] if numbers else 0
        if problem := self._unwitnessed(witness, last):
            raise self._fault([problem])
        before = self._path(last - 1)
        prev = files.sha256_file(before) if before.is_file() else ""
        return self._read(last, prev)

    def entries(self) -> list[Entry]:
        entries, problems = self._examine()
        if problems:
            raise self._fault(problems)
        return entries

    def _fault(self, problems: list[Problem]) -> EnvironmentFault:
        return EnvironmentFault(
            f"the journal of '{self.pipeline}' is not what was written: {problems[0]['message']}",
            fix=f"restore {self.folder} from a backup, then run the command again",
            problems=problems,
        )

    def verify(self) -> list[Problem]:
        """What is wrong with the folder: gaps, files that are not entries, entries that were edited; one a file."""
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
        self.folder.mkdir(parents=True, exist_ok=True)
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
        self._publish(seen + 1, json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        return self._read(seen + 1, values["prev"])

    def _publish(self, seq: int, text: str) -> None:
        """Create the file of ``seq`` with its whole content, or lose. Names with a leading dot are nobody's entry."""
        handle, name = tempfile.mkstemp(prefix=f".{seq:08d}.", dir=self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, 0o644)  # mkstemp gives 0600; auditors read these files
            os.link(name, self._path(seq))
        except FileExistsError:
            raise self._lost(seq - 1) from None
        except OSError as error:
            raise EnvironmentFault(
                f"cannot write {self._path(seq)}: {error.strerror}; the journal needs a writable file system with hard links",
                fix="set REGRAFT_STATE to a folder on a local disk",
            ) from error
        finally:
            Path(name).unlink(missing_ok=True)
        files.sync_folder(self.folder)
        with contextlib.suppress(OSError):  # the entry stands; until the next one only the witness is missing
            files.write_json(self._head_file, {"seq": seq, "sha256": files.sha256_text(text)})

    def _lost(self, seen: int) -> Conflict:
        return Conflict(
            f"'{self.pipeline}' has changed since entry {seen} of its journal was read; nothing was changed by this command",
            fix=f"regraft status {self.pipeline}",
        )

    def _path(self, seq: int) -> Path:
        return self.folder / f"{seq:08d}.json"

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for name in os.listdir(self.folder) if (match := _NUMBERED.fullmatch(name)))

    def _examine(self) -> tuple[list[Entry], list[Problem]]:
        witness = self._witness()
        entries: list[Entry] = []
        problems: list[Problem] = []
        broken: set[int] = set()
        """Numbers of the entries that name another hash of the one before."""
        expected = 1
        prev: str | None = ""
        for seq in self._numbers():
            if seq != expected:
                problems.append(self._missing(expected))
                prev = None
            try:
                entries.append(self._read(seq, prev))
            except EnvironmentFault as fault:
                if fault.problems[0]["rule"] == "chain":
                    broken.add(seq)
                else:
                    problems += fault.problems
            prev, expected = files.sha256_file(self._path(seq)), seq + 1
        if problem := self._unwitnessed(witness, expected - 1):
            problems.append(problem)
            broken |= {expected} if problem["rule"] == "chain" else set()
        # An entry with two broken links was edited itself; with one, the entry before it was.
        problems += [self._edited(seq if seq + 1 in broken else seq - 1) for seq in sorted(broken)]
        return entries, list({problem["file"]: problem for problem in reversed(problems)}.values())[::-1]

    def _witness(self) -> dict[str, Any] | None:
        """``{seq, sha256}`` of an entry that was the newest; None: nothing was noted.

        Read it before the folder: what it names must be there then.
        """
        try:
            value = files.read_json(self._head_file)
            return {"seq": int(value["seq"]), "sha256": str(value["sha256"])}
        except FileNotFoundError:  # a journal of regraft 0.1.0 has none yet
            return None
        except (ValueError, KeyError, TypeError):
            raise self._fault([Problem(message="the witness of its head cannot be read", file=str(self._head_file), rule="json")]) from None

    def _unwitnessed(self, witness: dict[str, Any] | None, last: int) -> Problem | None:
        """What the witness has against the entries up to ``last``; None: nothing."""
        if witness is None or witness["seq"] < last:  # then the entry after it vouches for it
            return None
        if witness["seq"] > last:
            return self._missing(last + 1)
        return self._edited(last) if files.sha256_file(self._path(last)) != witness["sha256"] else None

    def _missing(self, seq: int) -> Problem:
        return Problem(message=f"entry {seq} is missing: {self._path(seq)}", file=str(self._path(seq)), rule="gap")

    def _edited(self, seq: int) -> Problem:
        message = f"entry {seq} was edited after it was written: {self._path(seq)}"
        return Problem(message=message, file=str(self._path(seq)), rule="chain")

    def _read(self, seq: int, prev: str | None) -> Entry:
        """Entry ``seq``. ``prev`` is the hash that it must name; None: unknown, because the entry before it is gone."""
        path = self._path(seq)
        data = path.read_bytes()
        try:
            value: Any = json.loads(data)
            rule = _broken_rule(value, seq, self.pipeline, prev)
        except ValueError:
            value, rule = {}, "json"
        if rule:
            message = f"entry {seq}: {_RULES[rule]}: {path}"
            problem = Problem(message=message, file=str(path), rule=rule)
            summary, fix = f"the journal of '{self.pipeline}' is not what was written: {message}", f"restore {self.folder} from a backup"
            raise EnvironmentFault(summary, fix=fix, problems=[problem])
        plain = {key: value[key] for key in KEYS - {"schema", "from"}}
        waivers = tuple(Waiver(**waiver) for waiver in value.get("waivers", ()))
        return Entry(from_=value["from"], sha=hashlib.sha256(data).hexdigest(), waivers=waivers, **plain)


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
