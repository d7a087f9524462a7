"""Cells of a CSV file that people open in a spreadsheet."""

from __future__ import annotations

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def cell(value: Any) -> Any:
    """``value`` with an apostrophe before it where a spreadsheet would compute it; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
