"""The numbers, words and page of a report, from evidence made of numbers."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import runpy
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from workbench import NOTHING_YET, line

from regraft.evaluation.stats.paired import Predictions, align
from regraft.registry.journal import Entry
from regraft.reports import measure, words
from regraft.reports.document import as_json, document
from regraft.reports.evidence import Links
from regraft.reports.flips import flips
from regraft.reports.overview import stale
from regraft.reports.page import begin, render, render_overview
from regraft.reports.plots import loss_plot
from regraft.reports.words import part

reported = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))
evidence, HOSTILE = reported["evidence"], reported["HOSTILE"]


@pytest.fixture(scope="module")
def plain():
    return document(evidence())


@pytest.fixture(scope="module")
def page(plain):
    return render(plain)


# --- words -------------------------------------------------------------------------------------------------------

FLOOR = (line(at_least=0.3),)
WORSE = {"adapted": 0.5, "base": 0.5, "tfidf": 0.4, "champion": 0.9}


NO_LOAD = {"code": "failed", "message": "it does not load"}


@pytest.mark.parametrize(
    ("given", "outcome", "said"),
    [
        ({}, "pass", "The new model is better than the one in production and may replace it."),
        ({"skill": {"adapted": 0.9, "base": 0.7, "tfidf": 0.5}}, "pass", "may go to production, where there is none yet"),
        ({"skill": WORSE}, "fail", "must not go to production: it is worse than the one in production"),
        (
            {"skill": WORSE, "gates": FLOOR},
            "pass",
            "meets every requirement, but it is worse than the one in production, and no requirement",
        ),
        ({"gates": (line(at_least=0.99),)}, "fail", "it misses a requirement"),
        (
            {"champion_problem": {"code": "failed", "message": "it does not load"}},
            "inconclusive",
            "could not be compared with the one in production. The one in",
        ),
        ({"gates": (line(non_inferior_by=0.05),)}, "pass", "is not worse than the one in production, within the margin allowed"),
        ({"skill": WORSE, "gates": (line(non_inferior_by=0.05),)}, "fail", "worse than the one in production by more than is"),
        ({"skill": WORSE, "gates": (line(negative_flips={"max": 0.01}),)}, "fail", "too many rows wrong that the one in production"),
        ({"gates": (line(non_inferior_by=0.0, slices=("region",)),), "rows": 200}, "inconclusive", "everywhere"),
        ({"gates": (line(holdout={"budget": 1}),), "decisions": 2}, "inconclusive", "have decided too often to be believed"),
        ({"rows": 40}, "inconclusive", "40 test rows are too few to tell whether the new model is better than the one in production."),
    ],
)
def test_the_first_sentence_says_what_was_decided(given, outcome, said):
    report = document(evidence(**given))
    assert (report.outcome, said in report.headline) == (outcome, True), report.headline


@pytest.mark.parametrize(
    ("rows", "floor", "said"), [(300, 0.99, "but it misses a requirement"), (40, 0.85, "but 40 test rows are too few to tell")]
)
def test_nobody_is_told_that_the_model_in_production_must_not_go_there(rows, floor, said):
    verdict = evidence(rows=rows, gates=(line(at_least=floor),)).verdict
    champion = {"version": "3", "digest": verdict["candidate"]["digest"]}
    headline = words.headline(verdict | {"champion": champion}, ())
    assert headline.startswith("The model in production is still the best candidate, ")
    assert said in headline
    assert "new model" not in headline
    assert words.headline(verdict, (), waived=True).startswith("The new model went to production on a waiver, not on its evidence: ")


def test_a_model_that_passed_below_the_baseline_is_flagged():
    skill = {"adapted": 0.6, "base": 0.4, "tfidf": 0.95}
    assert "loses to a plain word count (TF-IDF)" in document(evidence(skill=skill, gates=FLOOR)).cautions[0]
    assert document(evidence()).cautions == ()


# --- numbers -----------------------------------------------------------------------------------------------------


def test_the_page_and_the_verdict_never_disagree(plain):
    leads = {e.against: e for e in plain.estimates if e.against and e.metric == "macro_f1"}
    asked = [f for f in plain.verdict["findings"] if f["gate"] == "beats"]
    assert {f["against"] for f in asked} == {"champion", "tfidf"}
    for finding in asked:
        found = leads[finding["against"]]
        assert (found.value, found.low, found.high) == (finding["value"], finding["low"], finding["high"])


@pytest.fixture
def few():
    """Class a: 3 of 4 right; class b: 1 of 2 right; the earlier model 2 of 4 and 2 of 2."""
    ids, labels = ("r1", "r2", "r3", "r4", "r5", "r6"), ("a", "a", "a", "a", "b", "b")
    answers = {"adapted": "aaabba", "champion": "aabbbb"}
    return align({model: Predictions(ids, labels, tuple(said)) for model, said in answers.items()})


@pytest.mark.parametrize("metric", ["mcc", "log_loss"])
def test_any_metric_that_a_gate_asks_for_is_shown_and_above_zero_is_better(metric):
    report = document(evidence(gates=(line(metric=metric, beats="champion"),)))
    (finding,) = (f for f in report.verdict["findings"] if f["gate"] == "beats")
    (lead,) = (e for e in report.estimates if e.against == "champion" and e.metric == metric)
    assert report.metrics == (metric,)
    assert (lead.value, lead.low, lead.high) == (finding["value"], finding["low"], finding["high"])
    assert metric.replace("_", " ").lower() in render(report).lower()


def test_a_gate_about_a_part_of_the_rows_draws_no_line_among_those_about_all():
    gates = (line(at_least=0.3), line(non_inferior_by=0.123, slices=("region",)), line(negative_flips={"max": 0.456}))
    page = render(document(evidence(gates=gates)))
    assert ">asked" not in page
    assert ">floor 0.3<" in page


def test_a_class_is_measured_by_its_rows_and_the_worst_comes_first(few):
    worst, best = measure.class_slices(few, "adapted", "champion")
    assert (worst.value, worst.n, worst.accuracy, worst.before) == ("b", 2, 0.5, 1.0)
    assert (best.value, best.n, best.accuracy, best.before) == ("a", 4, 0.75, 0.5)
    assert (best.f1, worst.f1) == (0.75, 0.5)
    assert best.f1_low < best.f1 < best.f1_high


def test_a_value_with_few_rows_is_no_slice():
    ids = [f"r{n:02d}" for n in range(31)]
    paired = align({"adapted": Predictions(ids, ["a", *"b" * 30], "b" * 31)})
    values = {row: "north" if n < 10 else "south" if n < 21 else "one" if n < 30 else "two" for n, row in enumerate(ids)}
    found = measure.column_slices(paired, "adapted", None, "region", values)
    assert [(part.value, part.n) for part in found] == [("north", 10), ("south", 11)]
    assert measure.column_slices(paired, "adapted", None, "region", dict.fromkeys(ids, "all")) == []


def test_flips_are_told_apart_with_their_text_the_surest_first(few):
    answers = {
        "adapted": {row: (said, sure) for row, said, sure in zip(few.ids, "aaabba", (0.5, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True)},
        "champion": {row: (said, 0.5) for row, said in zip(few.ids, "aabbbb", strict=True)},
    }
    found = flips(few, "adapted", "champion", answers, {"r6": "six", "r3": "three"})
    assert (found.gained, found.lost, found.both_right, found.both_wrong) == (1, 1, 3, 1)
    assert [(e.id, e.text, e.label, e.before, e.now) for e in found.worse] == [("r6", "six", "b", "b", "a")]
    assert [(e.id, e.text, e.label, e.before, e.now) for e in found.better] == [("r3", "three", "a", "b", "a")]


def test_the_confusion_counts_every_row_once_and_names_the_worst_mixups(few):
    found = measure.confusion(("a", "a", "b", "b", "b"), ("a", "b", "a", "a", "b"), ("a", "b", "c"))
    assert found.counts == ((1, 1, 0), (2, 1, 0), (0, 0, 0))
    assert found.mixups == (("b", "a", 2, 3), ("a", "b", 1, 2))


def test_the_base_model_is_an_input_of_the_steps_that_load_it_and_of_no_other(plain):
    assert plain.base_model == {"name": reported["BASE"], "digest": "5" * 64}
    assert {s["step"] for s in plain.steps if s["base_model"]} == {"pretrain", "finetune-base"}
    assert all(s["base_model"] in (None, plain.base_model) for s in plain.steps)
    older = {step: {**record, "params": {}} for step, record in evidence().records.items()}
    assert document(dataclasses.replace(evidence(), records=older)).base_model is None


# --- the page ----------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """Tags, attributes and texts of a page, read as a browser would."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_same_evidence_gives_the_same_bytes(plain, page):
    assert render(document(evidence())) == page


def test_a_page_needs_nothing_from_anywhere(page):
    seen = Seen(page)
    assert not {"script", "iframe", "object", "embed", "img"} & {tag for tag, _ in seen.tags}
    links = {value for _, attributes in seen.tags for name, value in attributes.items() if name in ("href", "src", "xlink:href", "srcset")}
    assert links
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"@import|url\((?!#)", page)


def test_a_page_leads_to_those_servers_alone_that_show_its_run(page):
    links = Links("https://mlflow.example/#/runs/1", "https://mlflow.example/#/models/tiny/versions/3", "https://prefect.example/runs/2")
    entry = Entry(
        7, "2026-01-01T00:00:00+00:00", "tiny", "register", None, {"version": "3", "digest": "a" * 64}, "a" * 64, "r", "ada", "w", "", ""
    )
    shown = render(document(dataclasses.replace(evidence(), links=links, history=(entry,))))
    found = {attributes.get("href"): tag for tag, attributes in Seen(shown).tags}
    assert [found.get(address) for address in dataclasses.astuple(links)] == ["a", "a", "a"]
    assert '<td class="n muted" title="entry of the journal">7</td>' in shown
    assert ("regraft ui mlflow" in shown, "regraft ui mlflow" in page, "Prefect flow run" in page) == (False, True, False)


def test_the_page_names_the_base_model_in_its_head_and_in_the_lineage(page):
    shown = re.sub("<wbr>", "", page)
    head, lineage = shown[: shown.index("<nav")], shown[shown.index('id="lineage"') : shown.index("<details><summary>Every file")]
    said = f"hub:somebody/a-small_encoder@{'7' * 12}"
    assert (head.count(f"<dd>{said}<"), lineage.count(f"base model {said} <"), lineage.count("5" * 12 + "<")) == (1, 2, 2)
    assert shown.count(f"<dt>{reported['BASE']}</dt>") == 2, "the list of every file has it whole"


def test_an_unadapted_candidate_says_what_it_is():
    said = "Fine-tuned only<small>not adapted to a corpus before</small>"
    better = {**reported["SKILL"], "adapted": 0.4}
    assert (said in render(document(evidence(skill=better))), said in render(document(evidence()))) == (True, False)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("the adapted model scores", "The adapted model scores"),
        ("un-adapted it scores", "Un-adapted it scores"),
        ("text_oov = 0 % is", "text_oov = 0 % is"),
        ("p95 of one text", "p95 of one text"),
        ("2 decisions", "2 decisions"),
        ("", ""),
    ],
)
def test_a_finding_begins_with_a_capital_unless_with_a_name(sentence, shown):
    assert begin(sentence) == shown


def test_findings_are_capitalised_on_the_page_and_nowhere_else(plain, page):
    first = plain.sentences[0]
    assert first[0].islower()
    assert f'<td class="wide">{first[0].upper()}' in page
    assert '<td class="wide">' + first[0] not in page


def test_discovered_slices_have_headings_in_words_and_the_order_is_explained_once():
    given = evidence()
    many = dict.fromkeys(("text_length", "text_script", "text_oov", "text_cluster"), given.test["region"])
    page = render(document(dataclasses.replace(given, test={**given.test, **many})))
    said = re.findall(r"<h3>By (.*?), worst first</h3>", page)
    assert said == ["class", "region", "length of text", "script", "unknown words", "topic"]
    assert page.count("Worst first: by the upper end of the interval") == 1
    assert page.index("By region") < page.index("Worst first: by") < page.index("By length of text")


def test_parts_of_the_test_rows_have_names_that_people_understand_and_bands_that_do_not_overlap():
    assert [part("text_oov", band) for band in ("0 %", "up to 10 %", "up to 25 %", "over 25 %")] == [
        "none", "over 0 to 10 %", "over 10 to 25 %", "over 25 %",
    ]  # fmt: skip
    assert [part("text_cluster", topic) for topic in ("3: seed, soil, rose", "all")] == ["seed, soil, rose", "all"]
    assert part("region", "0 %") == "0 %", "a column of the data keeps its values"


def test_the_head_says_when_the_run_was_what_was_needed_and_what_has_become_of_the_model(page):
    assert "2026-01-01 00:00 UTC" in page
    assert "Not registered; nothing is in production." in page
    assert re.search(r"<dt>Macro-F1</dt><dd>0\.\d+<small>needed: at least 0\.300</small>", page)
    assert re.search(r"would show, 80 times in 100: \d+\.\d points of macro-F1 against ", page)


def test_without_a_champion_nothing_was_right_before():
    page = render(document(evidence(skill={"adapted": 0.8, "base": 0.7, "tfidf": 0.5})))
    assert "Fine-tuned only right, candidate wrong" in page
    assert "Right before" not in page


def test_the_overview_says_what_to_type_next_and_that_a_failed_attempt_changes_nothing():
    champion = {"version": "3", "digest": "d" * 64, "run": "tiny-1", "since": "2026-01-01"}
    verdict = {"outcome": "fail", "run": "tiny-2", "exit": 4, "report": None}
    failed = {**NOTHING_YET, "waiver": None, "champion": champion, "age": "2 days", "verdict": verdict}
    at = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    page = render_overview(
        {"at": at, "pipelines": {"new": NOTHING_YET, "tiny": failed}}, {"tiny": [0.5, 0.625]}, {"tiny": "../report.html"}
    )
    assert ">regraft run new</code>" in page
    assert ">regraft explain tiny</code>" in page
    assert "The last attempt failed; version 3 in production is unaffected." in page
    assert "0.500 → 0.625" in page
    assert '<a href="../report.html">' in page


def test_what_users_wrote_is_text_and_never_markup():
    classes = (HOSTILE, "a$b_c$", "#000001 \" ' & <b>")
    seen = Seen(render(document(evidence(classes=classes, text=HOSTILE))))
    assert "script" not in {tag for tag, _ in seen.tags}
    said = " ".join(seen.texts)
    assert all(said.count(label) > 3 for label in classes), "a label was changed on its way to the page"
    assert said.count(HOSTILE) > 20


def test_plots_take_their_colours_from_the_page_and_share_no_ids(page):
    colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]+)", page))
    assert colours == set(), "a colour that does not follow light and dark"
    assert set(re.findall(r"var\(--([a-z]+)\)", page)) <= set(re.findall(r"--([a-z-]+):", page))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_candidates_that_end_at_the_same_step_with_the_same_loss_have_names_that_can_be_read():
    names = ["base", "adapted", "lora", "near", "half"]
    curves = {name: [(1, 1.1), (10, 1.0)] for name in names} | {"long": [(1, 1.1), (15, 1.0)]}
    svg = loss_plot("finetune", "Fine-tuning", curves, {f"{name}, dev": (10, 1.05) for name in names}, 0)
    heights = sorted(float(y) for y in re.findall(r' y="([\d.]+)"[^>]*>\w+, dev<', svg))
    assert len(heights) == len(names)
    assert min(after - before for before, after in itertools.pairwise(heights)) > 14


def test_what_was_measured_on_dev_rows_is_a_curve_of_its_own_with_a_name_and_no_dot_besides():
    given = evidence()
    curves = {step: dict(points) for step, points in given.curves.items()}
    curves["finetune-base"]["loss_on_dev"] = [(33, 2.5), (66, 2.0), (99, 1.75)]
    records = {step: {**record, "metrics": {**record["metrics"], "dev_loss": 1.5}} for step, record in given.records.items()}
    page = render(document(dataclasses.replace(given, curves=curves, records=records)))
    (figure,) = re.findall(r'<svg[^>]*aria-label="Loss of the fine-tuning".*?</svg>', page, re.DOTALL)
    assert re.findall(r">([^<>]*, dev)<", figure) == ["adapted, dev", "base, dev"]
    assert "and on dev rows after each epoch (dots)" in page


@pytest.mark.parametrize("classes", [2, 100, 200])
def test_any_number_of_classes_makes_a_page(classes):
    page = render(document(evidence(classes=[f"class number {n:03d}" for n in range(classes)], rows=500)))
    assert "Most frequent mix-ups" in page
    assert ("too many for a matrix" in page) == (classes > 150)
    assert len(page) < 600_000


def test_a_run_whose_candidate_answered_nonsense_still_has_a_page():
    given = evidence()
    table = given.tables["adapted"]
    p = table.p.copy()
    p[3] = float("nan")
    broken = dataclasses.replace(table, p=p)
    predictions = {**given.case.predictions, "adapted": broken.for_gates()}
    from regraft.gates.policy import judge

    case = dataclasses.replace(given.case, predictions=predictions)
    report = document(dataclasses.replace(given, case=case, verdict=judge(case).document(), tables={**given.tables, "adapted": broken}))
    assert "its training went wrong" in report.headline
    assert report.confusion is None
    assert "its training went wrong" in render(report)
    json.dumps(as_json(report), allow_nan=False)


def test_a_run_of_a_version_that_kept_less_still_has_a_page():
    page = render(document(dataclasses.replace(evidence(), test=None, counts=None, curves={}, records={})))
    assert "This run kept no texts" in page
    assert "How training went" not in page


def test_the_overview_has_a_row_for_a_pipeline_without_anything_and_for_one_that_is_broken():
    at = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    page = render_overview({"at": at, "pipelines": {"new": NOTHING_YET, "broken": {**NOTHING_YET, "error": "finetune.epochs: <unknown>"}}})
    assert "none yet" in page
    assert "finetune.epochs: &lt;unknown&gt;" in page


@pytest.mark.parametrize(
    ("names", "perhaps", "says"),
    [
        ([], [], "nothing"),
        (["contract"], ["corpus", "tokens"], "contract; 2 after that perhaps"),
        (list("abcde"), [], "every step"),
        (list("abcd"), ["e"], "a, b and 2 more steps; 1 after that perhaps"),
    ],
)
def test_the_overview_tells_what_runs_from_what_may_run(names, perhaps, says):
    assert stale(names, perhaps, 5) == says


def test_the_page_tells_what_is_cut_of_texts_where_rows_contradict_and_where_the_borders_of_a_split_are():
    few = evidence()
    contradictions = {
        "id": ["r9"], "label": ["blue"], "text": ["the same words"], "of": ["r1"], "of_label": ["red"], "of_text": ["the same words"],
        "of_split": ["train"], "kind": ["exact"],
    }  # fmt: skip
    counts = {**(few.counts or {}), "order": {"column": "made", "dev_from": "2026-02-01", "test_from": "2026-03-01"}}
    metrics = {"max_length": 64, "cut_train": 0.12, "cut_test": 0.1, "max_length_for_train": 200, "cut_train_there": 0.0}
    candidate = f"finetune-{few.verdict['candidate']['name']}"
    record = {**next(iter(few.records.values())), "step": candidate, "metrics": metrics}
    told = dataclasses.replace(few, contradictions=contradictions, counts=counts, records={**few.records, candidate: record})
    shown = document(told)
    assert (
        "1 row repeats a row with another label (1 word for word, 0 nearly) and was dropped: r9 ('blue') for r1 ('red')." in shown.cautions
    )
    assert any("12 % of the train rows and 10 % of the test rows are longer than the 64 tokens" in caution for caution in shown.cautions)
    text = render(shown)
    assert "test rows begin with 2026-03-01, dev rows 2026-02-01" in text
    assert "1 row repeats a row with another label" in text
