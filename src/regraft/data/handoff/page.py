"""The pages of a drop and of a diff, for people who do not code: one file, no address in it, opens anywhere.

Values come from whoever handed the data in, so the template escapes everything, and the page's own policy allows no request and no script
but the one that sorts its tables.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.core.errors import Problem
from regraft.data.contract import Contract
from regraft.data.expectations import rules
from regraft.data.handoff.changes import KINDS, Change, Diff
from regraft.data.handoff.history import Version
from regraft.data.handoff.similar import Similar
from regraft.data.quarantine import Told

NAME = "handoff.html"
TEMPLATES = Path(__file__).parents[1] / "templates"
LISTED = 200
"""Rows alike that are listed; those with different labels come first."""
CUT = 400
"""Characters of a value that are shown."""
PLAIN = {"added": "added", "removed": "taken out", "edited": "other text", "relabelled": "other label", "other": "other columns"}
WHY = {
    "duplicate": "its text is there already, so it would teach nothing",
    "conflict": "one text has two labels, and nothing says which is right",
    "contamination": "its text is among the rows that test the model",
    "agreement": "annotators disagree",
}


def render(
    pipeline: str,
    version: Version,
    contract: Contract,
    told: Told,
    rows: Sequence[Change],
    blocks: Sequence[Problem],
    alike: Sequence[Similar] = (),
) -> str:
    """The page about a drop that became ``version``; with ``blocks``, one that was refused. Rows that are ``alike`` are listed."""
    requirements = {rule.id: f"every value {rule.requirement}" for rule in rules(contract, warned=True)}
    return _filled(
        "handoff.html",
        pipeline=pipeline,
        version=version,
        read=version.counts["read"],
        accepted=version.counts["accepted"],
        quarantined=version.counts["quarantined"],
        by_rule=[
            (rule, count, requirements.get(rule) or WHY.get(rule.rpartition(".")[2], "")) for rule, count in told.by_rule.most_common()
        ],
        aside=[problem for examples in told.examples.values() for problem in examples],
        broken=told.by_rule.total(),
        changed=[(PLAIN[kind], version.diff[kind]) for kind in KINDS],
        rows=[(change, ", ".join(PLAIN[kind] for kind in change.kinds)) for change in rows],
        labels=list(_labels(version.diff["labels"])),
        lengths=version.diff["lengths"],
        relabellings=version.diff["relabellings"],
        blocks=blocks,
        alike=sorted(alike, key=lambda pair: (not pair.disagree, -pair.similarity))[:LISTED],
        alike_in_all=len(alike),
        next_steps=list(_next(pipeline, version, blocks)),
    )


def render_unread(pipeline: str, source: str, at: str, by: str, problems: Sequence[Problem], fix: str | None) -> str:
    """The page about a drop that cannot be read; ``fix`` mends the first of its ``problems``."""
    keys = ("file", "row", "rule", "message", "fix")
    return _filled(
        "unread.html",
        pipeline=pipeline,
        source=source,
        at=at,
        by=by,
        problems=[{key: problem.get(key) for key in keys} for problem in problems],
        fix=fix,
        again=_again(pipeline, source),
    )


def render_diff(result: Diff, before: str, after: str) -> str:
    """The page about what differs between two sets of rows, which are called ``before`` and ``after``."""
    shown = result.rows[: 5 * LISTED]
    occurring = [kind for kind in KINDS if result.counts[kind]]
    labels, none = sorted({*result.labels_before, *result.labels_after, *result.by_label}), Counter[str]()
    return _filled(
        "diff.html",
        before=before,
        after=after,
        sentence=result.sentence(),
        changed=[(PLAIN[kind], result.counts[kind]) for kind in KINDS],
        columns=[PLAIN[kind] for kind in occurring],
        by_label=[
            (name, [result.labels_before[name], result.labels_after[name], *(result.by_label.get(name, none)[kind] for kind in occurring)])
            for name in labels
        ],
        by=result.by,
        by_value=[(name, [counts[kind] for kind in occurring]) for name, counts in sorted(result.by_value.items())],
        relabellings=result.document()["relabellings"],
        rows=[(change, ", ".join(PLAIN[kind] for kind in change.kinds)) for change in shown],
        more=result.differing - len(shown),
        lengths=result.lengths,
    )


def _filled(template: str, **values: Any) -> str:
    """A page of one of the templates, with the script that sorts its tables and the policy that allows no other."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": lambda value: f"{value:,}",
        "cut": lambda text: text if len(text) <= CUT else text[:CUT].rstrip() + " …",
    }
    script = (TEMPLATES / "sort.js").read_text(encoding="utf8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text: str = environment.get_template(template).render(script=script, digest=digest, **values)
    return text


def _labels(labels: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, int, int]]:
    for label in sorted({*labels["before"], *labels["after"]}):
        yield label, labels["before"].get(label, 0), labels["after"].get(label, 0)


def _again(pipeline: str, source: str) -> str:
    return f"regraft handoff {pipeline} {shlex.quote(source)}"


def _next(pipeline: str, version: Version, blocks: Sequence[Problem]) -> Iterator[tuple[str, str | None]]:
    """What to do, each with the command that does it; None: nothing is to be typed."""
    again = _again(pipeline, version.source or "")
    if blocks:
        yield "Nothing was changed. Correct what stands below in your file, and hand it in again:", again
        return
    if version.counts["quarantined"]:
        yield "Correct the rows that were set aside in your file and hand it in again; rows that are there already count once:", again
        yield "Or decide about them one by one:", f"regraft quarantine list {pipeline}"
    yield "Train with what was taken in:", f"regraft run {pipeline}"
    if version.parent is not None:
        yield "Was it a mistake? Go back to the data as they were:", f"regraft data revert {pipeline} {version.parent}"
