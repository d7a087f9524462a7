"""What a page says has become of a model, from the journal's entries alone."""

from __future__ import annotations

import pytest

from regraft.registry.journal import Entry
from regraft.registry.waiver import Waiver
from regraft.reports.standing import standing

WAIVER = Waiver(gate="at_least", against=None, metric="macro_f1", outcome="fail", sentence="below the floor", until="2026-12-31")


def entry(seq, action, to, *, from_=None, waivers=()):
    model = {name: {"version": name, "digest": name * 4} for name in "12"}
    digest = (model[to] if to else model[from_])["digest"]
    return Entry(
        seq,
        f"2026-01-0{seq}T00:00:00+00:00",
        "demo",
        action,
        model.get(from_),
        model.get(to),
        digest,
        f"run {seq}",
        "ada",
        "why",
        "",
        "",
        waivers,
    )


REGISTERED = entry(1, "register", "1")
PROMOTED = entry(2, "promote", "1")
FOLLOWED = entry(3, "promote", "2", from_="1")


@pytest.mark.parametrize(("entries", "state", "says"), [
    ([], "unregistered", "Not registered; nothing is in production"),
    ([REGISTERED], "registered", "Registered as version 1, not in production; nothing is in production"),
    ([REGISTERED, PROMOTED], "champion", "In production as version 1 since 2026-01-02"),
    ([REGISTERED, entry(2, "promote", "1", waivers=(WAIVER,))], "champion", "since 2026-01-02, on a waiver until 2026-12-31"),
    ([REGISTERED, PROMOTED, FOLLOWED], "replaced", "Was in production as version 1; now version 2 is in production"),
    ([REGISTERED, PROMOTED, entry(3, "rollback", "2", from_="1")], "rolled_back", "Rolled back on 2026-01-03 by ada (why); version 2 is"),
    ([REGISTERED, PROMOTED, entry(3, "rollback", "2", from_="1"), entry(4, "promote", "1", from_="2")], "champion", "since 2026-01-04"),
])  # fmt: skip
def test_a_page_says_what_has_become_of_its_model(entries, state, says):
    told = standing(entries, "1111")
    assert (told.state, told.as_of) == (state, entries[-1].at if entries else None)
    assert says in told.sentence
