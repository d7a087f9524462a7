"""What a contract's rules found, as one page: no script, no address, opens anywhere.

Values come from whoever handed the data in, so the template escapes everything, and the page's own policy forbids
scripts and every request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from regraft.core.errors import Problem
from regraft.data.contract import Contract
from regraft.data.expectations import Rule, rules
from regraft.data.quarantine import Told

TEMPLATES = Path(__file__).parent / "templates"
CUT = 400
"""Characters of a value that are shown."""


@dataclass(frozen=True)
class Checked:
    """One rule, and what it found."""

    id: str
    requirement: str
    """In words; empty for a rule that is not the contract's but what every file has to keep to be read."""
    broken: int
    """Rows that break it."""
    examples: Sequence[Problem]
    """The first of them in the order of reading, at most :data:`regraft.data.quarantine.EXAMPLES`."""


def checked(contract: Contract, told: Told) -> tuple[list[Checked], list[Checked]]:
    """Every rule of the contract, in its order; and what rows broke besides, the most frequent first."""

    def one(rule: Rule | str) -> Checked:
        name, requirement = (rule, "") if isinstance(rule, str) else (rule.id, rule.requirement)
        return Checked(name, requirement, told.by_rule[name], told.examples.get(name, ()))

    written = [one(rule) for rule in rules(contract)]
    known = {rule.id for rule in written}
    return written, [one(name) for name, _ in told.by_rule.most_common() if name not in known]


def render(contract: Contract, read: int, quarantined: int, told: Told, at: datetime | None = None) -> str:
    """The page about ``read`` rows, ``quarantined`` of which break a rule; ``at`` is when, None: now."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": lambda value: f"{value:,}",
        "share": lambda value: f"{100 * value / read:.3g}\N{NO-BREAK SPACE}%" if read else "",
        "cut": lambda text: text if len(text) <= CUT else text[:CUT].rstrip() + " …",
    }
    written, besides = checked(contract, told)
    return environment.get_template("contract.html").render(
        contract=contract, rules=written, besides=besides, read=read, quarantined=quarantined, at=at or datetime.now(UTC)
    )
