"""A stored card as one HTML file that opens anywhere, in the look of the other pages."""

from __future__ import annotations

from regraft.reports.card.render import Said
from regraft.reports.page import environment


def render(text: str, statements: Said, pipeline: str, version: str) -> str:
    """The page of a card: ``text`` is its Markdown, whose front matter stays out; HTML in it is shown, not obeyed."""
    from markdown_it import MarkdownIt

    body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    html = markdown.render(body).replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    missing = [key for key in ("intended_use", "limitations", "license") if getattr(statements, key) is None]
    return environment().get_template("card.html").render(body=html, pipeline=pipeline, version=version, missing=missing)
