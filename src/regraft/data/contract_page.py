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
    """What it asks, in words; empty for a rule that is not the contract's but what every file has to keep to be read."""
    broken: int
    """How many rows break it."""
    examples: Sequence[Problem]
    """The first of them in the order of reading, at most :data:`regraft.data.quarantine.EXAMPLES`."""
    ids: Sequence[str | None] = ()
    """What their file calls them."""

    @property
    def named(self) -> bool:
        """Whether any of them has an id."""
        return any(self.ids)


def checked(contract: Contract, summary: Told) -> tuple[list[Checked], list[Checked]]:
    """Every rule of the contract, in its order; and what rows broke besides, the most frequent first."""

    def of_rule(rule: Rule | str) -> Checked:
        name, requirement = (rule, "") if isinstance(rule, str) else (rule.id, rule.requirement)
        return Checked(name, requirement, summary.by_rule[name], summary.examples.get(name, ()), summary.ids.get(name, ()))

    of_contract = [of_rule(rule) for rule in rules(contract)]
    contract_ids = {rule.id for rule in of_contract}
    return of_contract, [of_rule(name) for name, _ in summary.by_rule.most_common() if name not in contract_ids]


def render(contract: Contract, read: int, quarantined: int, summary: Told, at: datetime | None = None) -> str:
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
    of_contract, besides = checked(contract, summary)
    return environment.get_template("contract.html").render(
        contract=contract, rules=of_contract, besides=besides, read=read, quarantined=quarantined, at=at or datetime.now(UTC)
    )
