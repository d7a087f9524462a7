"""A stored card as one HTML file that opens anywhere, in the look of the other pages."""

from __future__ import annotations

import re

from regraft.reports.card.render import Said
from regraft.reports.page import environment

CODE_CELL = re.compile(r"<td([^>]*)><code>([^<]*)</code></td>")
DIGEST = re.compile("[0-9a-f]{40,}")
SIGN, BREAKS = re.compile("([._/])"), r"\1<wbr>"


def render(text: str, statements: Said, pipeline: str, version: str) -> str:
    """The page of a card: ``text`` is its Markdown, whose front matter stays out; HTML in it is shown, not obeyed."""
    from markdown_it import MarkdownIt

    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = markdown.render(body).replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    html = CODE_CELL.sub(_breakable, html)
    missing = [key for key in ("intended_use", "limitations", "license") if getattr(statements, key) is None]
    return environment().get_template("card.html").render(body=html, pipeline=pipeline, version=version, missing=missing)


def _breakable(cell: re.Match[str]) -> str:
    """A cell with a name, which may break behind its signs, or with a digest, which may break anywhere."""
    code = cell[2]
    if DIGEST.fullmatch(code):
        return f'<td{cell[1]}><code class="hash">{code}</code></td>'
    return f"<td{cell[1]}><code>{SIGN.sub(BREAKS, code)}</code></td>"
