"""Great Expectations' Data Docs as one page that opens without a network.

The original loads styles and scripts from six CDNs and a logo whose address tells its maker that the page was opened
(and when), and folds half of its content away behind those scripts. So what is kept is the words and the tables.
"""

from __future__ import annotations

import copy
import html
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any, ClassVar

EXAMPLES = 20
"""Of values that break a rule, as many as Great Expectations itself shows."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2530; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2, h4, h5 { font-size: 1.1rem; margin: 1.6rem 0 .3rem } h6 { margin: .8rem 0 .2rem; font-size: .9rem }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 } th, td { text-align: left; vertical-align: top; padding: .3rem .6rem }
td, th { border-bottom: 1px solid #8884; overflow-wrap: anywhere }
th { white-space: nowrap } th, td:last-child { overflow-wrap: break-word }
td table { width: auto; font-size: .9em }
.badge { background: #eef1f5; border-radius: 3px; padding: 0 .3em } .text-danger { color: #a8071a } .text-success { color: #1a7f37 }
.fa-times::before { content: "✗" } .fa-check-circle::before { content: "✓" } ul { padding-left: 1.2rem }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #dde3ea } .badge { background: #2a313a }
  .text-danger { color: #ff9a91 } .text-success { color: #6fd39b } }
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def data_docs(result: Any, title: str) -> str:
    """One HTML page of a Great Expectations validation result, without scripts, links, images or addresses."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    result = copy.deepcopy(result)
    for item in result.results:
        # Great Expectations writes values into its page as they are: a label "<script>" would end it there.
        item.result = _escaped(item.result)
        item.expectation_config.kwargs = _escaped(item.expectation_config.kwargs)
    rendered: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))  # type: ignore[no-untyped-call]
    return PAGE.format(title=html.escape(title), style=STYLE, body=offline(rendered))


def merged(first: Any, second: Any) -> Any:
    """The Great Expectations result of two batches as one: counts added, 20 examples kept. Either may be None."""
    if first is None or second is None:
        return second if first is None else first
    others = {item.expectation_config.meta["rule"]: item for item in second.results}
    for item in first.results:
        other = others[item.expectation_config.meta["rule"]]
        item.success = item.success and other.success
        item.result = _added(item.result, other.result)
    return _summed_up(first)


def recounted(result: Any, rule: str, unexpected: int, examples: Sequence[str]) -> Any:
    """``result`` with the rows that break ``rule`` in all batches together, where they are more than the batches saw one by one."""
    for item in result.results:
        if item.expectation_config.meta["rule"] == rule and item.result["unexpected_count"] != unexpected:
            item.success = False
            none = {"element_count": 0, "missing_count": 0, "unexpected_count": unexpected - item.result["unexpected_count"]}
            item.result = _added({**item.result, "partial_unexpected_list": list(examples)}, none)
    return _summed_up(result)


def _summed_up(result: Any) -> Any:
    passed = sum(bool(item.success) for item in result.results)
    result.success = passed == len(result.results)
    result.statistics |= {
        "successful_expectations": passed,
        "unsuccessful_expectations": len(result.results) - passed,
        "success_percent": 100 * passed / len(result.results),
    }
    return result


def _added(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, Any] = {
        key: left.get(key, 0) + right.get(key, 0) for key in ("element_count", "missing_count", "unexpected_count") if key in left
    }
    examples = [*left.get("partial_unexpected_list", ()), *right.get("partial_unexpected_list", ())][:EXAMPLES]
    rows, unexpected = counts["element_count"], counts["unexpected_count"]
    present = rows - counts.get("missing_count", 0)
    shares = {
        "missing_percent": 100 * counts.get("missing_count", 0) / rows,
        "unexpected_percent": 100 * unexpected / present if present else None,
        "unexpected_percent_total": 100 * unexpected / rows,
        "unexpected_percent_nonmissing": 100 * unexpected / present if present else None,
    }
    often = [{"value": example, "count": times} for example, times in Counter(examples).most_common()]
    kept = {key: share for key, share in shares.items() if key in left}
    return {**counts, **kept, "partial_unexpected_list": examples, "partial_unexpected_counts": often}


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value).replace("$", "&#36;")  # "$" is the placeholder of its templates
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def offline(page: str) -> str:
    """The sections of ``page`` as words, tables and headings; nothing in them refers to anything outside."""
    keeper = _Keeper()
    keeper.feed(page[max(0, page.find('<div id="section-1"')) :])
    keeper.close()
    return "".join(keeper.kept)


class _Keeper(HTMLParser):
    KEPT: ClassVar = {"h5", "h6", "p", "div", "span", "strong", "code", "br", "i", "ul", "ol", "li"} | {
        "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    """Tags that go through, with the classes that STYLE knows; of any other tag the text stays."""
    DROPPED: ClassVar = {"head", "script", "style", "nav", "footer", "button", "form", "label"}
    """Tags that go with all that is in them. So does what the original folds away (`collapse`)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self._dropping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        folded = "collapse" in classes or given.get("data-toggle") == "collapse"
        if tag in self.DROPPED or folded or tag in self._dropping[-1:]:
            self._dropping.append(tag)
        elif not self._dropping and tag in self.KEPT:
            css = " ".join(name for name in classes if f".{name}" in STYLE)
            self.kept.append(f'<{tag} class="{html.escape(css)}">' if css else f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag == self._dropping[-1]:
                self._dropping.pop()
        elif tag in self.KEPT and tag != "br":
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.kept.append(html.escape(data) if data.strip() else "\n")
