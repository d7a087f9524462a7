"""What people were asked about a model that passed, and what they answered: kept in the store, created once, changed never.

``approvals/<pipeline>/<run>/request.json`` says what a yes would do: which version becomes champion instead of which, and on which
evidence, by digests. Answers are ``1.json``, ``2.json`` ... beside it; creating the next number is the compare-and-swap, as in the journal.
Each names the sha256 of the request, so a request that was edited has no answers. What follows from them is
:func:`standing`: pure, with the clock as an argument.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from regraft.core import files
from regraft.core.errors import Conflict, EnvironmentFault
from regraft.core.key_values import KeyValues

SCHEMA = 1
State = Literal["waiting", "approved", "refused", "expired"]
Word = Literal["approve", "reject"]


@dataclass(frozen=True)
class Request:
    """What a yes is about."""

    schema: int
    pipeline: str
    run: str
    version: str
    digest: str
    """Of the model that would become champion."""
    champion: dict[str, str] | None
    """``{version, digest}`` that it was compared with; None: there was none."""
    evidence: str
    """Digest of the folder ``evidence/`` of the run in MLflow."""
    at: str
    until: str
    """The moment after which no answer counts, with its zone."""
    people: int
    """How many different ones have to say yes."""
    approvers: dict[str, str] | None
    """``{file, sha256}`` of the keys that count; None: names are taken at their word."""

    @property
    def bytes(self) -> bytes:
        return files.json_bytes(asdict(self))

    @property
    def sha(self) -> str:
        return files.sha256_bytes(self.bytes)


@dataclass(frozen=True)
class Answer:
    """One person's word."""

    schema: int
    request: str
    """sha256 of the request."""
    word: Word
    by: str
    at: str
    reason: str
    signature: str | None
    """OpenSSH's, of :attr:`signed`; None where names are taken at their word."""

    @property
    def signed(self) -> str:
        """What the person signs."""
        return files.canonical({"request": self.request, "word": self.word, "by": self.by, "reason": self.reason}) + "\n"


@dataclass(frozen=True)
class Standing:
    """Where a request stands."""

    state: State
    by: tuple[str, ...]
    """Who said yes so far; who said no where it is refused."""
    missing: int
    """How many more have to say yes."""
    sentence: str
    """What is to be said of the version: "waits for approval until ..."."""


def standing(request: Request, answers: Sequence[Answer], now: datetime) -> Standing:
    """What follows from the answers at the moment ``now``: one no is enough, and after ``until`` nothing is waited for."""
    until = datetime.fromisoformat(request.until)
    at = f"{until:%Y-%m-%d %H:%M} UTC"
    for answer in answers:
        if answer.word == "reject":
            return Standing("refused", (answer.by,), 0, f"was refused by {answer.by} on {_day(answer.at)}: {answer.reason}")
    people = tuple(dict.fromkeys(answer.by for answer in answers))
    missing = max(0, request.people - len(people))
    if not missing:
        reasons = "; ".join(answer.reason for answer in answers if answer.reason)
        why = f": {reasons}" if reasons else ""
        return Standing("approved", people, 0, f"was approved by {' and '.join(people)} on {_day(answers[-1].at)}{why}")
    so_far = f"{' and '.join(people)} said yes, {missing} more needed" if people else f"{missing} needed"
    if now > until:
        return Standing("expired", people, missing, f"was not approved until {at} ({so_far})")
    return Standing("waiting", people, missing, f"waits for approval until {at} ({so_far})")


def _day(moment: str) -> str:
    return moment[:10]


T = TypeVar("T", Request, Answer)


class Approvals:
    """The requests of one pipeline."""

    def __init__(self, values: KeyValues, pipeline: str) -> None:
        self._values, self._folder = values, f"approvals/{pipeline}"

    def ask(self, request: Request) -> Request:
        """Ask, once a run: the request that stands, which is an earlier one if the same run has asked already."""
        self._values.create(f"{self._folder}/{request.run}/request.json", request.bytes)
        asked = self.request(request.run)
        assert asked is not None
        return asked

    def request(self, run: str) -> Request | None:
        """What ``run`` asked; None: nothing."""
        text = self._values.get(f"{self._folder}/{run}/request.json")
        return None if text is None else self._parsed(Request, text, f"{run}/request.json")

    def answers(self, request: Request) -> list[Answer]:
        """The answers to ``request``, in their order; those to another one are a fault."""
        texts = self._values.read(f"{self._folder}/{request.run}")
        numbers = sorted(int(name.removesuffix(".json")) for name in texts if name.removesuffix(".json").isdecimal())
        answers = [self._parsed(Answer, texts[f"{number}.json"], f"{request.run}/{number}.json") for number in numbers]
        if any(answer.request != request.sha for answer in answers):
            where = self._values.where(f"{self._folder}/{request.run}/request.json")
            raise EnvironmentFault(f"{where} is not what was answered: it was edited since", fix=f"restore {where} from a backup")
        return answers

    def add(self, request: Request, seen: int, answer: Answer) -> None:
        """Keep ``answer`` as number ``seen + 1``; Conflict where somebody else's is there by now."""
        if not self._values.create(f"{self._folder}/{request.run}/{seen + 1}.json", files.json_bytes(asdict(answer))):
            raise Conflict(f"somebody else has answered {request.run} at this moment", fix=f"regraft status {request.pipeline}")

    def _parsed(self, kind: type[T], text: bytes, name: str) -> T:
        try:
            value = json.loads(text)
            if isinstance(value, Mapping) and set(value) == {field.name for field in fields(kind)} and value["schema"] == SCHEMA:
                return kind(**value)
        except ValueError:
            pass
        where = self._values.where(f"{self._folder}/{name}")
        raise EnvironmentFault(f"{where} is not what regraft writes there (schema {SCHEMA})", fix=f"restore {where} from a backup")


def look(values: KeyValues, result: Mapping[str, Any], now: datetime) -> tuple[Request, Standing] | None:
    """The request of the run whose ``result`` stands, and where it stands; None: it asked nothing."""
    approvals = Approvals(values, result["pipeline"])
    request = approvals.request(result["run"]) if result.get("approval") else None
    return (request, standing(request, approvals.answers(request), now)) if request else None


def moment(now: datetime) -> str:
    """``now`` as it is kept: UTC, to the second."""
    return now.astimezone(UTC).isoformat(timespec="seconds")
