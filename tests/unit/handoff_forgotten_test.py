"""What is taken out of messages and pages: ids and values that stand there as such, not every 7."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from regraft.core import files
from regraft.data.handoff.forgotten import GONE, Wanted, redact
from regraft.data.handoff.history import History, Version

TOLD = [
    (
        "7 rows nearly repeat others, and runs keep the first of them: 7 (8, 85 %), 9 (7, 7 %) and 7 more",
        f": {GONE} (8, 85 %), 9 ({GONE}, 7 %)",
    ),
    ("repeats the row 7, which is there already", f"the row {GONE}, which"),
    ("repeats the test row 7; it would be a train row", f"the test row {GONE}; it"),
    ("repeats the test row 7 of this drop; it would be a train row", f"the test row {GONE} of this drop; it"),
    ("repeats the dev row 7, which is there already; it would be a train row", f"the dev row {GONE}, which is"),
    ("repeats the row 7 of this drop", f"the row {GONE} of this"),
    ("one of them has to be settled on: 7 ('a'), 17 ('b'), 7 and 3 more", f": {GONE} ('a'), 17 ('b'), {GONE} and 3"),
    ("1 row is with another label: 7 'garden' (8 'harbour')", f": {GONE} 'garden'"),
]


def version(folder: Path, *warnings: str) -> Path:
    """The folder of a version that said so."""
    history = History(folder)
    files.write_json(history.place(1) / "version.json", Version(1, None, "found", "x", "x", "x", {}, warnings=warnings).document())
    return history.place(1)


@pytest.mark.parametrize(("before", "after"), TOLD)
def test_messages_lose_the_id_where_it_is_one(tmp_path, before, after):
    place = version(tmp_path, before, "7 rows of 7, the share goes from 7 % to 8 %")
    redact(History(tmp_path), Wanted("id", frozenset({"7"})), {"7"})
    first, second = json.loads((place / "version.json").read_text())["warnings"]
    assert after in first
    assert (first.startswith("7 rows"), second) == (before.startswith("7 rows"), "7 rows of 7, the share goes from 7 % to 8 %")


@pytest.mark.parametrize(("page", "goes"), [
    ('<dt>Read</dt><dd>7</dd><td class="n" data-sort="7">7</td><p>7 rows, 7 %</p>', False),
    ('<td class="value" data-label="id">7</td>', True),
    ("<li><strong>a.csv, row 3:</strong> repeats the row 7, which is there already.</li>", True),
])  # fmt: skip
def test_a_page_goes_that_names_the_id(tmp_path, page, goes):
    place = version(tmp_path)
    (place / "handoff.html").write_text(page)
    redact(History(tmp_path), Wanted("id", frozenset({"7"})), {"7"})
    assert (place / "handoff.html").exists() != goes


def test_the_page_of_a_file_that_could_not_be_read_goes_with_the_first_forgetting(tmp_path):
    version(tmp_path)
    for name, kept in (("unread", ()), ("refused", ("quarantine.csv",))):
        (tmp_path / "refused" / name).mkdir(parents=True)
        for file in ("handoff.html", *kept):
            (tmp_path / "refused" / name / file).write_text("<td>b'half of a te'</td>")
    redact(History(tmp_path), Wanted("id", frozenset({"7"})), {"7"})
    assert [path.parent.name for path in (tmp_path / "refused").glob("*/handoff.html")] == ["refused"]


def test_a_name_is_found_as_a_page_writes_it(tmp_path):
    place, name = version(tmp_path), "O'Neill & <sons>"
    (place / "handoff.html").write_text(f"<td>{html.escape(name)}</td>")
    assert redact(History(tmp_path), Wanted("author", frozenset({name})), ()) == [place.name]
