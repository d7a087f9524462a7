"""Plots as SVG that belongs to the page: its fonts, its colours, light and dark, the same bytes for the same numbers.

matplotlib knows no CSS, so a plot is drawn in stand-in colours (``#000001`` ...), which are then replaced by the
page's variables (``var(--ink)`` ...). One unit of a plot is one CSS pixel at its natural width. Text stays text: it
can be selected, searched and read aloud, and what users call their labels is never taken for TeX.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, cycle, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.gates.section import IntervalPlot
from regraft.reports.label_curve import LabelCurve
from regraft.reports.measure import Confusion, Estimate
from regraft.reports.words import METRICS, NAMES, SHORT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, ACCENT, SECOND, WARN, PASS, FAIL = (f"#00000{n}" for n in range(1, 9))
VARIABLES = {"ink": INK, "muted": MUTED, "line": LINE, "accent": ACCENT, "second": SECOND, "warn": WARN, "pass": PASS, "fail": FAIL}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 12,
    "text.parse_math": False,  # a label may hold dollar signs
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
}
Points = Sequence[tuple[int, float]]
WIDTH = 440
"""Natural width of a plot that scales: 368 pixels of a phone make its 12-pixel text 10 pixels high."""
NUMBERED = 30
"""Up to so many classes a confusion matrix has its numbers written in."""
MOST_CLASSES = 150
"""No matrix is drawn of more classes: its labels would be 9 pixels high and 1,350 apart; the mix-ups tell more."""


@contextmanager
def _figure(name: str, title: str, width: float, height: float, svgs: list[str], *, scales: bool = True) -> Iterator[Figure]:
    """A figure to draw on; its SVG is the only item of ``svgs`` afterwards."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that matplotlib's font lacks is drawn by the browser
        figure = Figure(figsize=(width / 72, height / 72))
        yield figure
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    size = f'style="max-width: {width * 1.25:.0f}px"' if scales else f'width="{width:.0f}" height="{height:.0f}"'
    svgs.append(_inlined(out.getvalue(), f'<svg role="img" aria-label="{html.escape(title)}" {size} viewBox="0 0 {width:g} {height:g}">'))


def _inlined(svg: str, head: str) -> str:
    """The element below ``head``, without what it would share with another one on the page: ids, and a style for everything."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"(/?)>', r"<g\1>", body)
    return head + re.sub(r'style="([^"]*)"', lambda match: f'style="{_styled(match[1])}"', body)


def _styled(style: str) -> str:
    """A ``style`` attribute in the page's colours and font."""
    for variable, colour in VARIABLES.items():
        style = style.replace(colour, f"var(--{variable})")
    return re.sub(r"font: ([\d.]+px) [^;]*", r"font-size: \1", style)


def _margins(figure: Figure, width: float, height: float, left: float, right: float, top: float, bottom: float) -> Axes:
    """One pair of axes with margins in pixels."""
    return figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def _say(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    axes.text(x, y, text, va="center", clip_on=False, **options)


def scores_plot(estimates: Sequence[Estimate], metric: str, candidate: str, floors: Sequence[float]) -> str:
    """Every model's score with its interval; ``floors`` are the thresholds of `at_least` gates."""
    rows = [
        (NAMES[e.model], f"{e.value:.3f}", ACCENT if e.model == candidate else MUTED, e)
        for e in estimates
        if e.against is None and e.metric == metric
    ]
    lines = [(value, f"floor {value:.3g}", WARN) for value in floors]
    return _forest(f"scores-{metric}", f"{METRICS[metric]} of each model, with intervals", rows, lines)


def leads_plot(estimates: Sequence[Estimate], metric: str, thresholds: Mapping[str, float]) -> str:
    """The candidate's lead over every other model; ``thresholds``: other model -> what a gate asked for.

    Coloured by which side of its threshold (0 where no gate asked) the whole interval lies on; grey is both.
    """
    rows = []
    for e in (e for e in estimates if e.against is not None and e.metric == metric):
        line = thresholds.get(e.against or "", 0.0)
        colour = PASS if e.low > line else FAIL if e.high < line else MUTED
        rows.append((f"over {SHORT[e.against or '']}", f"{e.value:+.3f}".replace("-", "\N{MINUS SIGN}"), colour, e))
    marks = [
        (value, f"asked {value:.3g}".replace("-", "\N{MINUS SIGN}"), WARN) for value in sorted({t for t in thresholds.values() if t != 0})
    ]
    title = f"Lead of the candidate in {METRICS[metric]}, with paired intervals"
    return _forest(f"leads-{metric}", title, rows, [(0.0, "no difference", MUTED), *marks])


def _forest(name: str, title: str, rows: Sequence[tuple[str, str, str, Estimate]], lines: Sequence[tuple[float, str, str]]) -> str:
    """Intervals below one another; ``rows``: (label, value in words, colour, estimate), ``lines``: (x, label, colour)."""
    height, svgs = 62 + 34 * len(rows), list[str]()
    beside, offset = ("axes fraction", "data"), "offset points"
    with _figure(name, title, WIDTH, height, svgs) as figure:
        axes = _margins(figure, WIDTH, height, 148, 66, 26, 26)
        for y, (label, value, colour, row) in enumerate(rows):
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=3.5, alpha=0.45, solid_capstyle="round")
            axes.plot([row.value], [y], "o", color=colour, markersize=8)
            axes.annotate(value, (1, y), (10, 0), beside, offset, va="center", color=colour if colour != MUTED else INK)
            axes.annotate(label, (0, y), (-12, 0), beside, offset, va="center", ha="right", color=INK if colour != MUTED else MUTED)
        sides = {min(x for x, *_ in lines): "right", max(x for x, *_ in lines): "left"} if len(lines) > 1 else {}
        for x, label, colour in lines:
            axes.axvline(x, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(label, (x, 1), (0, 5), ("data", "axes fraction"), offset, ha=sides.get(x, "center"), fontsize=11, color=MUTED)
        ends = [*(row.low for *_, row in rows), *(row.high for *_, row in rows), *(x for x, *_ in lines)]
        pad = 0.06 * (max(ends) - min(ends) or 0.1)
        axes.set_xlim(min(ends) - pad, max(ends) + pad)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x")
    return svgs[0]


DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
"""Curves are told apart by their dashes, for whoever does not tell their colours apart."""
ROOM_FOR_NAMES = 13
"""Characters of a candidate's name in the 96 pixels beside a loss plot."""
OF_DEV = ", dev"


def loss_plot(
    name: str,
    title: str,
    curves: Mapping[str, Points],
    held_out: Mapping[str, tuple[int, float]],
    head: int,
    on_dev: Mapping[str, Points] = {},
) -> str:
    """Loss by optimizer step: single values thin, their running mean thick; ``held_out``: what was measured on held-out text.

    :param head: steps in which only a new head was trained; 0 marks none.
    :param on_dev: curve of ``curves`` -> what was measured on dev rows on its way, drawn with dots in the same colour and dashes.
    """
    height, svgs = 230, list[str]()
    with _figure(f"loss-{name}", title, WIDTH, height, svgs) as figure:
        axes = _margins(figure, WIDTH, height, 40, 96, 12, 40)
        ends: list[tuple[float, str, str]] = []
        dashes = cycle(DASHES)
        for (label, points), colour in zip(curves.items(), chain((ACCENT, SECOND), repeat(MUTED)), strict=False):
            x, y = np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)
            smooth = _running_mean(y)
            axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
            dash = next(dashes)
            axes.plot(x, smooth, color=colour, linewidth=2, linestyle=dash)
            ends.append((float(smooth[-1]), label, colour))
            if label in on_dev:
                across, up = zip(*on_dev[label], strict=True)
                axes.plot(across, up, color=colour, linewidth=1, linestyle=dash, marker="o", markersize=5)
                ends.append((float(up[-1]), f"{_cut(label, ROOM_FOR_NAMES - len(OF_DEV))}{OF_DEV}", colour))
        last = max(points[-1][0] for points in curves.values())
        for label, (at, value) in held_out.items():
            axes.plot([at], [value], "o", color=WARN, markersize=6)
            if at == last:
                ends.append((value, label, WARN))
        if head:
            axes.axvline(head, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            where = ("data", "axes fraction")
            axes.annotate("encoder unfrozen", (head, 1), (5, -6), where, "offset points", va="center", fontsize=11, color=MUTED)
        axes.set_xlabel("optimizer step", labelpad=6)
        axes.locator_params(nbins=5)
        axes.grid(axis="y")
        axes.set_xlim(0, last * 1.02)
        inside = sorted((value, at, label) for label, (at, value) in held_out.items() if at != last)
        for height_of, (_, at, label) in zip(_apart([value for value, _, _ in inside], axes), inside, strict=True):
            axes.annotate(label, (at, height_of), (7, 9), textcoords="offset points", va="center", color=WARN)
        for height_of, (_, label, colour) in zip(_apart([end[0] for end in sorted(ends)], axes), sorted(ends), strict=True):
            axes.annotate(
                _cut(label, ROOM_FOR_NAMES), (1, height_of), (6, 0), ("axes fraction", "data"), "offset points", va="center", color=colour
            )
    return svgs[0]


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"


def _apart(heights: Sequence[float], axes: Axes) -> list[float]:
    """Rising ``heights`` of labels, pushed apart until none covers another: 15 pixels of the 178 of a loss plot. None of none."""
    if not heights:
        return []
    low, high = axes.get_ylim()
    gap, placed = (high - low) * 15 / 178, list[float]()
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    return [height - max(0.0, (placed[-1] - heights[-1]) / 2) for height in placed]


def _running_mean(values: np.ndarray[Any, np.dtype[np.float64]], width: int = 9) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean of the up to ``width`` values round each; fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    reach = np.minimum(width // 2, np.minimum(index, len(values) - 1 - index))
    return np.asarray((total[index + reach + 1] - total[index - reach]) / (2 * reach + 1))


def confusion_plot(confusion: Confusion) -> str:
    """Rows are truth, columns are answers; shade is the share of the row. Natural size: it scrolls, it does not shrink."""
    import matplotlib.path as mpath
    from matplotlib.collections import PathCollection

    labels, counts = confusion.labels, np.array(confusion.counts)
    k, longest = len(labels), max(map(len, labels))
    cell, size = (24, 11.0) if k <= NUMBERED else (max(9, min(16, 900 // k)), 8.0)
    margin = min(180.0, longest * size * 0.58 + 14)
    side, svgs = k * cell, list[str]()
    width, height = side + margin + 8, side + margin + 8
    with _figure("confusion", "Confusion matrix", width, height, svgs, scales=False) as figure:
        axes = _margins(figure, width, height, margin, 8, margin, 8)
        share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        for diagonal, colour in ((True, ACCENT), (False, WARN)):
            for level in range(1, 9):  # eight shades, one path each: 100 classes stay 100 kB
                chosen = (np.ceil(share * 8) == level) & (np.eye(k, dtype=bool) == diagonal)
                cells = [_square(x, y, mpath.Path) for y, x in np.argwhere(chosen).tolist()]
                if cells:
                    path = mpath.Path.make_compound_path(*cells)
                    axes.add_collection(PathCollection([path], facecolor=colour, edgecolor="none", alpha=0.06 + 0.075 * level))
        if k <= NUMBERED:
            for y, x in np.argwhere(counts > 0).tolist():
                _say(axes, x, y, str(counts[y, x]), ha="center", fontsize=10, color=INK)
        for index, label in enumerate(labels):
            shown = label if len(label) * size * 0.58 + 14 <= 180 else label[: int(166 / (size * 0.58)) - 1] + "…"
            _say(axes, -0.8, index, shown, ha="right", fontsize=size, color=MUTED)
            axes.text(index, -0.8, shown, rotation=90, ha="center", va="bottom", fontsize=size, color=MUTED)
        axes.set_xlim(-0.5, k - 0.5)
        axes.set_ylim(k - 0.5, -0.5)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_visible(False)
        for edge in np.arange(k + 1) - 0.5:
            axes.axhline(edge, color=LINE, linewidth=0.5)
            axes.axvline(edge, color=LINE, linewidth=0.5)
    return svgs[0]


def _square(x: int, y: int, path: Callable[..., Any]) -> Any:
    return path([(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5), (x - 0.5, y - 0.5)], closed=True)


def interval_plot(plot: IntervalPlot) -> str:
    """Shares by a share, a dot each with its interval; on the diagonal both are the same."""
    height, svgs = 250, list[str]()
    with _figure("intervals", plot.caption, WIDTH, height, svgs) as figure:
        axes = _margins(figure, WIDTH, height, 58, 20, 14, 44)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        for across, low, value, high in plot.points:
            axes.plot([across] * 2, [low, high], color=ACCENT, linewidth=3.5, alpha=0.35, solid_capstyle="round")
            axes.plot([across], [value], "o", color=ACCENT, markersize=7)
        if plot.mark:
            where, name = plot.mark
            axes.axvline(where, color=WARN, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                name, (where, 1), (-5, -6), ("data", "axes fraction"), "offset points", va="center", ha="right", fontsize=11, color=MUTED
            )
        axes.set_xlim(max(0.0, min(point[0] for point in plot.points) - 0.05), 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(plot.across, labelpad=6)
        axes.set_ylabel(plot.up, labelpad=6)
        axes.locator_params(nbins=5)
        axes.grid(axis="y")
    return svgs[0]


def label_curve_plot(curve: LabelCurve) -> str:
    """Score of the baseline by number of training rows; every step to the right doubles them."""
    from matplotlib.ticker import FixedLocator, NullLocator

    height, svgs = 250, list[str]()
    with _figure("labels", "Learning curve of labels", WIDTH, height, svgs) as figure:
        axes = _margins(figure, WIDTH, height, 46, 20, 14, 44)
        x, y = np.array(curve.rows, float), np.array([p.value for p in curve.points])
        axes.fill_between(x, [p.low for p in curve.points], [p.high for p in curve.points], color=ACCENT, alpha=0.15, linewidth=0)
        axes.plot(x, y, "o-", color=ACCENT, linewidth=2, markersize=6)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(x.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{rows:,}" for rows in curve.rows])
        axes.set_xlabel("training rows", labelpad=6)
        axes.locator_params(axis="y", nbins=5)
        axes.grid(axis="y")
    return svgs[0]
