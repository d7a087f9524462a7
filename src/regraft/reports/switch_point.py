"""What the page says of the switch point: from how many labels a class on fine-tuning was better on these rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.gates import words
from regraft.gates.section import Cell, Section, SectionTable


def section(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Section | None:
    """The curves as a table, a size a row, and the switch point in words; None where none was measured.

    :param metrics: what the step ``switch_point`` measured (:func:`regraft.training.switch_point.numbers`).
    :param config: its section of the resolved file.
    """
    sizes = sorted(int(key.partition("_")[2]) for key in metrics if key.startswith("full_"))
    if not sizes:
        return None
    few, full = (config.get(way, {}).get("method", "full") for way in ("few", "full"))
    rows = tuple(
        (Cell(f"{size}"), *(Cell(words.number(metrics[f"{way}_{size}"])) for way in ("few", "full")), _lead(metrics, size))
        for size in sizes
    )
    note = (
        f"Models learned from so many rows of each class, drawn {int(metrics['draws'])} times, and answered "
        f"{words.counted(int(metrics['dev_rows']), 'dev row')}; the numbers are their mean {words.metric('macro_f1')}. "
        "Test rows have no part in it."
    )
    table = SectionTable(("training rows a class", few, full, f"{full} is better by"), rows)
    return Section(
        "From how many labels on fine-tuning pays", "Switch point", note, tables=(table,), end=sentence(metrics, sizes, few, full)
    )


def _lead(metrics: Mapping[str, Any], size: int) -> Cell:
    lead = metrics[f"full_{size}"] - metrics[f"few_{size}"]
    return Cell(f"{lead:+.3f}", "ok" if lead > 0 else "muted")


def sentence(metrics: Mapping[str, Any], sizes: list[int], few: str, full: str) -> str:
    """The switch point with its interval."""
    value, low, high = (_end(metrics.get(key), sizes) for key in ("value", "low", "high"))
    interval = f"95 % interval {low} to {high}" if low != high else f"so in at least 95 % of the resamples: {low}"
    return f"On these rows {few} gives way to {full} at {value} training rows a class ({interval})."


def _end(number: float | None, sizes: list[int]) -> str:
    """Infinite numbers are left out of the record."""
    if number is None:
        return f"more than {sizes[-1]}"
    return f"{number:.0f}" if number else f"fewer than {sizes[0]}"
