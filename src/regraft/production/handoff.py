"""``regraft handoff``: a drop is judged, and what is accepted of it becomes the next version of a pipeline's data.

A drop counts once, by its bytes. One that is refused changes nothing; its page and quarantine are kept all the same.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected, Problem
from regraft.core.workspace import Workspace
from regraft.data import quarantine
from regraft.data.contract import Contract
from regraft.data.handoff import card, edition, page
from regraft.data.handoff.changes import Change, shown
from regraft.data.handoff.drop import Drop, open_drop
from regraft.data.handoff.edition import Revision
from regraft.data.handoff.forgotten import Remembered
from regraft.data.handoff.history import Version
from regraft.data.handoff.judge import Judged, Mode, judge, rows_at
from regraft.data.handoff.known import Known
from regraft.data.handoff.renames import Renames
from regraft.data.handoff.set_aside import Decision, Quarantine
from regraft.data.handoff.similar import Texts
from regraft.data.options import MADE_ID
from regraft.data.quarantine import Told
from regraft.data.rows import Row
from regraft.data.sources import reject
from regraft.data.spelling import spelled
from regraft.production import closer_look, s3_source, unread
from regraft.production.data_store import DataStore, now
from regraft.registry.journal import whoami

S3 = "s3://"
EXAMPLES = 200
"""Changed rows of each kind that a page and a version list one by one."""
Outcome = Literal["accepted", "unchanged", "already", "refused"]


@dataclass
class HandedIn:
    """What became of a drop."""

    pipeline: str
    source: str
    drop: str
    outcome: Outcome
    counts: dict[str, int]
    diff: dict[str, Any]
    by_rule: dict[str, int] = field(default_factory=dict)
    version: Version | None = None
    folder: Path | None = None
    """Where page, card and quarantine lie; None: nothing was kept."""
    problems: list[Problem] = field(default_factory=list)
    """Why it was refused."""
    warnings: list[str] = field(default_factory=list)
    summary: str = ""

    def document(self, workspace: Workspace) -> dict[str, Any]:
        """What ``--json`` prints."""

        def at(name: str) -> str | None:
            path = self.folder / name if self.folder else None
            return workspace.relative(path) if path and path.is_file() else None

        version = self.version
        return {
            "pipeline": self.pipeline,
            "source": self.source,
            "drop": self.drop,
            "outcome": self.outcome,
            **self.counts,
            "by_rule": self.by_rule,
            "diff": self.diff,
            "version": version.number if version else None,
            "commit": version.commit if version else None,
            "page": at(page.NAME),
            "card": at(card.NAME),
            "quarantine": at("quarantine.csv") if self.counts["quarantined"] else None,
            "warnings": self.warnings,
        }


def hand_in(
    workspace: Workspace,
    pipeline: str,
    source: str,
    *,
    mode: Mode = "auto",
    commit: bool = True,
    by: str | None = None,
    budget: float | None = None,
    wait: bool = True,
    rename: Sequence[str] = (),
) -> HandedIn:
    """Judge what lies at ``source`` and take in what is accepted.

    :param rename: ``THEIRS=OURS`` for columns that the drop calls otherwise than the pipeline's data.

    :raises DataRejected: the drop cannot be read. One that is refused for what its rows say is returned.
    :raises Conflict: another handoff holds the data, or the drop changed while it was read.
    """
    store, renames = DataStore.of(workspace, pipeline), Renames.of(rename)
    with store.lease(wait=wait), store.scratch() as scratch, _copy_removed(source, scratch.parent):
        path = _local(source, scratch)
        with unread.told(store, source, by or whoami()):
            drop = open_drop(path, source, scratch / "unpacked", tsv_quoted=store.options.data.tsv_quoted, renames=renames)
        head = store.found()
        for version in store.history.in_effect(head):
            if version.drop == drop.digest and version.purged is None:
                return _again(store, drop, version)
        handed_in = _judged(store, drop, head, scratch, mode, budget, by, commit=commit)
        handed_in.warnings = [*store.warnings, *handed_in.warnings]
        return handed_in


@contextlib.contextmanager
def _copy_removed(source: str, home: Path) -> Iterator[None]:
    """Remove what was fetched of a bucket once it was judged, however that ended; one that has not come whole is gone on with."""
    try:
        yield
    except (DataRejected, ConfigError) as error:
        if source.startswith(S3) and not any(problem.get("rule") == "file.whole" for problem in error.problems):
            s3_source.forget(source, home)
        raise
    if source.startswith(S3):
        s3_source.forget(source, home)


def _local(source: str, scratch: Path) -> Path:
    """Where the drop lies as files."""
    return s3_source.fetch(source, scratch.parent) if source.startswith(S3) else Path(source).absolute()


def _again(store: DataStore, drop: Drop, version: Version) -> HandedIn:
    """A drop that was taken in before."""
    summary = f"this drop is version {version.number} already, handed in {version.at[:10]} by {version.by}"
    nothing = dict.fromkeys(("added", "removed", "edited", "relabelled", "other"), 0)
    folder = store.history.place(version.number)
    return HandedIn(
        store.pipeline,
        drop.shown,
        drop.digest,
        "already",
        version.counts,
        nothing,
        version.by_rule,
        version,
        folder,
        [],
        store.warnings,
        summary,
    )


def _judged(
    store: DataStore,
    drop: Drop,
    head: Version | None,
    scratch: Path,
    mode: Mode,
    budget: float | None,
    by: str | None,
    *,
    commit: bool,
) -> HandedIn:
    contract, task = store.contract(), store.task
    split_by = closer_look.split_by(store)
    texts = Texts(task, split_by, scratch)
    known = Known.of(texts.noted(in_house(store, store.place.rows()), lambda row: row.values), task)
    person, tokens = by or whoami(), store.tokens(contract)
    with unread.told(store, drop.shown, person):
        judged = judge(
            lambda: _drop_rows(store, drop, contract), known, contract, store.drop_rules(), scratch / "rows",
            mode=mode, budget=budget, tokens=tokens, split_of=split_by, split_there=lambda place: texts.splits[place],
        )  # fmt: skip
    _require_nothing_forgotten(store, drop, judged)
    alike, remarks = closer_look.look(store, judged, texts, scratch) if not judged.blocks else ([], [])
    judged.warnings += remarks
    attachments = scratch / "version"
    attachments.mkdir()
    told = quarantine.write_quarantine(attachments / "quarantine.parquet", attachments / "quarantine.csv", judged.validated, task)
    if not judged.validated.quarantined:
        (attachments / "quarantine.parquet").unlink()
    rows = examples(store, judged)
    diff = {key: item for key, item in judged.diff.document().items() if key != "rows"}
    handed_in = HandedIn(
        store.pipeline, drop.shown, drop.digest, "accepted", judged.counts, diff, dict(told.by_rule), warnings=judged.warnings,
        problems=judged.blocks, summary=judged.diff.sentence(),
    )  # fmt: skip
    drop.require_unchanged()
    if judged.blocks:
        return _refused(store, handed_in, contract, told, rows, attachments, person)
    if not judged.diff and not judged.validated.quarantined:
        handed_in.outcome, handed_in.version = "unchanged", head
        return handed_in
    staged = edition.make(store.place, revision(judged, task), store.history.next_number()) if judged.diff else None
    counts = judged.diff.counts
    version = Version(
        store.history.next_number(), head.number if head else None, "handoff", now(), person, judged.diff.sentence(), {},
        drop.shown, drop.digest, None, judged.counts, dict(told.by_rule), {**diff, "rows": [plain(change) for change in rows]},
        tuple(judged.warnings),
    )  # fmt: skip
    files.write_text(attachments / page.NAME, page.render(store.pipeline, version, contract, told, rows, judged.blocks, alike))
    total = len(known) + counts["added"] - counts["removed"]
    files.write_text(attachments / card.NAME, card.render(store.pipeline, version, total, task, _written_contract(store)))
    handed_in.version = store.change(version, total, staged, attachments, commit=commit)
    _close_mended(store, judged, handed_in.version)
    handed_in.folder = store.history.place(version.number)
    return handed_in


def _require_nothing_forgotten(store: DataStore, drop: Drop, judged: Judged) -> None:
    """Raise :class:`DataRejected` for a drop that brings rows back which were forgotten; nothing of it is kept."""
    if not (remembered := Remembered(store.folder)):
        return
    problems = []
    for chunk, start in enumerate(judged.validated.store.starts):
        for index, values in enumerate(rows_at(judged.validated, chunk, None)):
            if (version := remembered.version_of(values)) is not None:
                file, number = judged.validated.place(start + index)
                message = f"is a row that was forgotten in version {version}"
                problems.append(Problem(message=message, file=file, row=number, rule="drop.forgotten", fix="take the rows out of the drop"))
    if problems:
        reject(f"{drop.shown} brings back what was forgotten, so nothing of it was kept", problems)


def _close_mended(store: DataStore, judged: Judged, version: Version) -> None:
    """Rows in quarantine whose id was taken in now wait for nobody any more."""
    quarantined = Quarantine(store.folder)
    waiting = {row.id: row.key for row in quarantined.rows() if row.id is not None and not row.key.startswith(f"{version.number}:")}
    accepted = judged.validated.values(store.task.id_column) if waiting and judged.validated.kept else ()
    mended = [waiting[key] for (keys,) in accepted for key in set(keys) & waiting.keys()]
    if mended:
        reason = f"handed in again as {version.source}"
        quarantined.decide([Decision(key, "mended", version.at, version.by, reason, version.number) for key in sorted(mended)])


def _drop_rows(store: DataStore, drop: Drop, contract: Contract) -> Iterable[Row]:
    required = [column.name for column in contract.columns if column.required]
    return in_house(store, drop.rows(store.task, required, [column.name for column in contract.columns]))


def in_house(store: DataStore, rows: Iterable[Row]) -> Iterable[Row]:
    return spelled(rows, store.task, store.options.data.split)


def _written_contract(store: DataStore) -> Any:
    from regraft.data.contract_file import read_contract

    return read_contract(store.contract_file) if store.contract_file.is_file() else None


def revision(judged: Judged, task: Any) -> Revision:
    import numpy as np

    replaced: dict[int, Any] = {}
    for number, (mask, relation) in enumerate(zip(judged.changed, judged.relations, strict=True)):
        indexes = np.flatnonzero(mask & ~relation.added)
        for index, values in zip(indexes.tolist(), judged.rows_at(number, indexes), strict=True):
            replaced[int(relation.position[index])] = _written(values)
    columns = sorted({name for shape in judged.validated.shapes for name in shape} - {MADE_ID})
    order = [name for name in (task.id, *task.texts, task.label) if name is not None]
    return Revision(replaced, set(judged.gone.tolist()), lambda: map(_written, judged.new_rows(task)), columns, order)


def _written(values: dict[str, str | None]) -> dict[str, str | None]:
    """What is written of a row: an id that was made of its text is made again."""
    return {name: text for name, text in values.items() if name != MADE_ID}


def examples(store: DataStore, judged: Judged) -> list[Change]:
    """The first changed rows of each kind, with what they were."""
    import numpy as np

    after: dict[str, tuple[tuple[str, ...], Any]] = {}
    wanted: dict[int, str] = {}
    seen: dict[str, int] = {}
    for number, (mask, relation) in enumerate(zip(judged.changed, judged.relations, strict=True)):
        chosen = []
        for index in np.flatnonzero(mask).tolist():
            kinds = relation.kinds(index)
            if any(seen.get(kind, 0) < EXAMPLES for kind in kinds):
                seen.update({kind: seen.get(kind, 0) + 1 for kind in kinds})
                chosen.append((index, kinds))
        values = judged.rows_at(number, np.array([index for index, _ in chosen], np.int64))
        for (index, kinds), row in zip(chosen, values, strict=True):
            after[str(row[store.task.id_column])] = (kinds, shown(row, store.task))
            if (place := int(relation.position[index])) >= 0:
                wanted[place] = str(row[store.task.id_column])
    wanted |= dict.fromkeys(judged.gone.tolist()[:EXAMPLES], "")
    before: dict[str, Any] = {}
    if wanted:
        last = max(wanted)
        for place, known in enumerate(in_house(store, store.place.rows())):
            if place in wanted:
                before[str(known.values.get(store.task.id_column))] = shown(known.values, store.task)
            if place == last:
                break
    changes = [Change(key, kinds, before.get(key), now_) for key, (kinds, now_) in after.items()]
    return changes + [Change(key, ("removed",), old, None) for key, old in before.items() if key not in after]


def plain(change: Change) -> dict[str, Any]:
    return {"id": change.id, "kinds": list(change.kinds), "before": change.before, "after": change.after}


def _refused(
    store: DataStore, handed_in: HandedIn, contract: Contract, told: Told, rows: list[Change], attachments: Path, by: str
) -> HandedIn:
    """Keep page and quarantine of a drop that changes nothing; a later try with the same bytes takes their place."""
    version = Version(
        0, None, "handoff", now(), by, "nothing: the drop was refused", {}, handed_in.source, handed_in.drop, None,
        handed_in.counts, handed_in.by_rule, handed_in.diff, tuple(handed_in.warnings),
    )  # fmt: skip
    files.write_text(attachments / page.NAME, page.render(store.pipeline, version, contract, told, rows, handed_in.problems))
    target = store.folder / "refused" / handed_in.drop[:12]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(attachments, target)
    handed_in.outcome, handed_in.folder = "refused", target
    first = told.first[:5]
    handed_in.problems = [*handed_in.problems, *first]
    return handed_in


def refusal(workspace: Workspace, handed_in: HandedIn) -> DataRejected:
    """A refused drop as an error."""
    where = workspace.relative(handed_in.folder / page.NAME) if handed_in.folder else None
    lines = [f"{handed_in.source} was refused, and the data of {handed_in.pipeline} are as they were:"]
    for problem in handed_in.problems:
        place = f"{problem['file']}:{problem['row']}: " if problem.get("row") else ""
        lines.append(f"  {place}{problem['message']}")
    lines += [f"every row that was set aside, and why: {where}"] if where else []
    fix = str(handed_in.problems[0].get("fix") or "") or None
    if fix and handed_in.folder and (listing := handed_in.folder / "quarantine.csv").is_file():
        fix = fix.replace("quarantine.csv", shlex.quote(workspace.relative(listing)))
    return DataRejected("\n".join(lines), fix=fix, problems=handed_in.problems)
