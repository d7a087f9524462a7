"""The pages in headless Chromium, driven over its DevTools protocol: nothing fetched, nothing complained about, nothing cut off."""

from __future__ import annotations

import dataclasses
import itertools
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, Browser, opened
from workbench import NOTHING_YET

from regraft.core.errors import Problem
from regraft.data.contract import Contract
from regraft.data.handoff import page as handoff
from regraft.data.handoff.changes import KINDS, Change, Diff
from regraft.data.handoff.history import Version
from regraft.data.quarantine import Told
from regraft.data.rows import Fault, Row
from regraft.gates.section import Cell, Section, SectionTable
from regraft.reports.card import page as card
from regraft.reports.card.render import Said
from regraft.reports.document import document
from regraft.reports.page import render, render_overview

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: `apt-get install chromium`")
reported = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))
WIDTHS = (390, 768, 1440)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


def handoff_page(hostile: str) -> str:
    """The page of a drop whose every value would break out of it."""
    diff = Diff(lengths={"before": [1, 2, 3, 4], "after": [1, 2, 3, 4]})
    side = {"text": hostile + "word" * 300, "label": hostile}
    for kind in KINDS:
        diff.count((kind,), hostile, "a_label_without_a_blank" * 4)
    told = Told()
    told.add(Row(f"{hostile}.csv", 7, {}, (), hostile), [Fault("text.conflict", "text", hostile, hostile * 5)])
    counts = {"read": 1_000_000, "accepted": 999_999, "quarantined": 1}
    at = "2026-01-01T00:00:00+00:00"
    version = Version(7, 6, "handoff", at, hostile, diff.sentence(), {}, hostile, "d" * 64, None, counts, {}, diff.document(), (hostile,))
    contract = Contract.model_validate({"id": "own", "version": "1", "columns": [{"name": "text", "required": True}]})
    return handoff.render("demo", version, contract, told, [Change(hostile, KINDS, side, side)], [])


def refused_page() -> str:
    """The page of a drop with the names that people give files, labels and rows."""
    diff, told = Diff(lengths={"before": [1, 2, 3, 4], "after": [1, 2, 3, 4]}), Told()
    side = {"text": "where is my card and when will it come, as I need it", "label": "card_arrival"}
    diff.count(("relabelled",), "card_arrival", "lost_or_stolen_card")
    reason = "team 'card_arival' is not one of the 4 valid values; did you mean 'card_arrival'?"
    for number in range(3):
        told.add(Row("../drops/october.csv", number, {}, (), {}), [Fault("team.valid_values", "team", "card_arival", reason)])
    counts, at = {"read": 4, "accepted": 1, "quarantined": 3}, "2026-01-01T00:00:00+00:00"
    version = Version(7, 6, "handoff", at, "mia", diff.sentence(), {}, "october.csv", "d" * 64, None, counts, {}, diff.document(), ())
    contract = Contract.model_validate({"id": "own", "version": "1", "columns": [{"name": "team", "required": True}]})
    changes = [Change("8145bb69ecd60629", ("relabelled",), side, {**side, "label": "lost_or_stolen_card"})]
    return handoff.render("demo", version, contract, told, changes, [])


def diff_page(hostile: str) -> str:
    """The page of a diff, counted by a column as well."""
    diff = Diff(lengths={"before": [1, 2, 3, 4], "after": [1, 2, 3, 4]}, by=hostile)
    diff.count(("edited", "relabelled"), hostile, "a_label_without_a_blank" * 3)
    diff.count_value(("edited", "relabelled"), hostile * 3)
    diff.rows.append(Change(hostile, ("edited",), {"text": hostile * 30, "label": hostile}, {"text": None, "label": None}))
    return handoff.render_diff(diff, f"demo/1{hostile}", "demo")


def unread_page(hostile: str) -> str:
    """The page of a drop that cannot be read."""
    name = "a_file_without_a_blank_in_its_name.csv"
    long = f"iconv -f cp1252 -t utf-8 {name} > utf8.csv && mv utf8.csv {name}"
    faults = [Problem(message=hostile * 20, file=hostile, row=7, rule="file.utf8", fix=long), Problem(message="no row number")]
    return handoff.render_unread("demo", hostile, "2026-01-01T00:00:00+00:00", hostile, faults, long)


def wide_section() -> Section:
    """A section of a gate with more columns than a phone has room for."""
    head = ("model", "nats", "interval", "", "against the first", "interval")
    first = (Cell("as the base model came"), Cell("4.315"), Cell("4.290 to 4.340", "muted"), Cell("", bar=0.9), Cell(""), Cell(""))
    last = (
        Cell("after fine-tuning without adaptation"), Cell("4.314"), Cell("4.289 to 4.339", "muted"), Cell("", bar=0.9),
        Cell("-0.001", "ok"), Cell("-0.004 to 0.002", "muted"),
    )  # fmt: skip
    return Section("What was forgotten", "Forgetting", tables=(SectionTable(head, (first, last), roomy=(3,)),))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    evidence, hostile = reported["evidence"], reported["HOSTILE"]
    long = [f"{'a_label_without_a_blank' * 3}_{n}" for n in range(16)]
    topics = evidence()
    topics = dataclasses.replace(topics, test={**topics.test, "text_cluster": [f"{n % 4}: of, four, topics" for n in range(300)]})
    made = {
        "topics": render(document(topics)),
        "hostile": render(document(evidence(classes=(hostile, "a$b$c", "<img src=https://example.org/x>"), text=hostile))),
        "wide": render(document(evidence(classes=long, rows=600, text="word" * 200))),
        "many": render(document(evidence(classes=[f"class {n:03d}" for n in range(100)], rows=1000))),
        "overview": render_overview({"at": "2026-01-01T00:00:00+00:00", "pipelines": {"a_rather_long_name_of_a_pipeline": NOTHING_YET}}),
    }
    made["handoff"] = handoff_page(hostile)
    made["diff"], made["unread"] = diff_page(hostile), unread_page(hostile)
    made["refused"] = refused_page()
    names = "| step | parameter |\n|---|---|\n| contract | `finetune.head_learning_rate` |\n| splits | `" + "0f" * 32 + "` |\n"
    made["card"] = card.render(names, Said(), "demo", "1")
    made["sections"] = render(dataclasses.replace(document(evidence()), sections=(wide_section(),)))
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, encoding="utf8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.mark.parametrize("name", ["hostile", "wide", "many", "topics", "overview", "handoff", "diff", "unread"])
def test_a_page_opens_without_an_error_a_request_or_a_sideways_scroll(browser: Browser, pages: dict[str, Path], name: str) -> None:
    for width, theme in itertools.product(WIDTHS, ("light", "dark")):
        browser.open(pages[name], width, theme)
        requested = [event["request"]["url"] for event in browser.named("Network.requestWillBeSent")]
        assert {url for url in requested if not url.startswith("data:")} == {pages[name].as_uri()}
        assert browser.named("Runtime.exceptionThrown") == []
        assert browser.named("Runtime.consoleAPICalled") == []
        assert [event["entry"] for event in browser.named("Log.entryAdded")] == []
        assert browser.ask("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways at {width} px"


def test_tables_of_a_handoff_are_sorted_by_their_heads(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["handoff"], 1400, "light")
    column = "[...document.querySelectorAll('table.sortable')].at(-1).tBodies[0].rows].map(row => row.cells[0].textContent)"
    before = browser.ask(f"[...{column}")
    browser.ask("[...document.querySelectorAll('table.sortable')].at(-1).querySelector('th button').click()")
    assert browser.ask(f"[...{column}") == sorted(before)


@pytest.mark.parametrize(("name", "width"), [("refused", 390), ("refused", 600), ("refused", 768), ("card", 390)])
def test_names_of_files_rules_labels_and_rows_break_at_their_signs_and_not_within_a_word(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    browser.open(pages[name], width, "light")
    broken = """[...document.querySelectorAll('td:not(:has(.hash)), th')].flatMap(cell => {
        const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), found = [];
        for (let node; node = walker.nextNode();)
            for (const word of node.data.matchAll(/[\\p{L}\\d]+/gu)) {
                const range = document.createRange();
                range.setStart(node, word.index); range.setEnd(node, word.index + word[0].length);
                if (new Set([...range.getClientRects()].map(line => Math.round(line.top))).size > 1) found.push(word[0]);
            }
        return found;
    })"""
    assert browser.ask(broken) == []


def test_on_a_phone_every_part_of_a_cell_stands_right_of_its_name(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["handoff"], 390, "light")
    left = "e => e.getBoundingClientRect().left"
    indents = browser.ask(f"[...document.querySelectorAll('.cards td > span')].map(e => ({left})(e) - ({left})(e.parentElement))")
    assert indents
    assert min(indents) > 60, "where the names of the columns stand"


def test_plots_follow_light_and_dark(browser: Browser, pages: dict[str, Path]) -> None:
    seen = {}
    for theme in ("light", "dark"):
        browser.open(pages["many"], 800, theme)
        colours = "[...document.querySelectorAll('svg text')].map(t => getComputedStyle(t).fill)"
        seen[theme] = browser.ask(f"[getComputedStyle(document.body).backgroundColor, ...new Set({colours})]")
    assert not set(seen["light"]) & set(seen["dark"]), seen


def test_text_of_a_plot_can_be_read_on_a_phone(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["hostile"], 400, "light")
    heights = browser.ask("[...document.querySelectorAll('#models svg text')].map(t => t.getBoundingClientRect().height)")
    assert len(heights) > 10
    assert min(heights) >= 9


def test_what_scrolls_has_an_edge_that_differs_from_the_page_until_its_end(browser: Browser, pages: dict[str, Path]) -> None:
    edge = "(e => {const r = e.getBoundingClientRect(); return [r.right - 1 + scrollX, r.top + 3 + scrollY]})"
    for theme, selector in itertools.product(("light", "dark"), ("#errors .scroll",)):
        browser.open(pages["many"], 400, theme)
        one = f"document.querySelector('{selector}')"
        assert browser.ask(f"{one}.scrollWidth - {one}.clientWidth") > 40
        paper = browser.ask(f"getComputedStyle({one}.closest('section')).backgroundColor.match(/\\d+/g).map(Number)")
        before = browser.pixel(*browser.ask(f"{edge}({one})"))
        browser.ask(f"void ({one}.scrollLeft = 1e6)")
        assert browser.pixel(*browser.ask(f"{edge}({one})")) == paper != before, (theme, selector)


def test_tables_of_a_run_are_read_on_a_phone_without_scrolling_each_value_behind_its_name(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["sections"], 390, "light")
    scrolls = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.closest('section').id)"
    assert set(browser.ask(scrolls)) <= {"errors"}, "only the confusion matrix keeps its size"
    names = """[...document.querySelectorAll('#forgetting tbody tr:last-child > *, #cost tbody tr:first-child > *')]
        .filter(cell => cell.checkVisibility()).map(cell => [getComputedStyle(cell, '::before').content, cell.innerText])"""
    assert browser.ask(names) == [
        ["none", "after fine-tuning without adaptation"], ['"nats"', "4.314"], ['"interval"', "4.289 to 4.339"],
        ['"against the first"', "-0.001"], ['"interval"', "-0.004 to 0.002"],
        ["none", "contract"], ['"time"', "1.5 s"], ['"peak memory"', "300 MB"], ['"on"', "cpu, 2 threads, fp32"],
    ]  # fmt: skip
    browser.open(pages["sections"], 800, "light")
    assert browser.ask("getComputedStyle(document.querySelector('#forgetting td'), '::before').content") == "none"


def test_a_phone_has_room_for_the_bar_of_a_slice_below_its_name(browser: Browser, pages: dict[str, Path]) -> None:
    for width in WIDTHS:
        browser.open(pages["topics"], width, "light")
        bars = (
            "[...document.querySelectorAll('#errors table.slices')].map(t => [t.querySelector('th').innerText, t.querySelector('.range')])"
        )
        seen = browser.ask(f"Object.fromEntries({bars}.map(([name, bar]) => [name, bar.getBoundingClientRect().width]))")
        assert seen.keys() >= {"topic", "region", "class"}
        assert min(seen.values()) > 200, (width, seen)
