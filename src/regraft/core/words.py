"""What counts as a word, for everything that counts words: the TF-IDF baseline, slices, runs of words that test rows share with others.

A word is a run of letters, digits and underscores, with the marks that belong to its letters: vowel signs and viramas of the scripts of
India, points of Hebrew and Arabic, combining accents. Python's ``\\w`` has no marks, so it tears Hindi and Tamil words apart.
Han, Kana, Thai, Lao, Burmese and Khmer are written without blanks: there every letter with its marks is a word, and two in a row
are what a pair of words is elsewhere (Nie & Ren 1999, "Chinese information retrieval: using characters or words?", finds pairs of
characters as good as the words of a segmenter). In text of other letters without marks, words are those of ``\\b\\w+\\b``.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, Kana, Han."""
JOINERS = "\u200c\u200d"
"""Within a word only: Persian and Indian spelling needs them."""


def _marks() -> str:
    """Ranges of the combining marks in the Basic Multilingual Plane, for a class of a regular expression: 5 ms."""
    points = (point for point in range(0x10000) if unicodedata.category(chr(point))[0] == "M")
    ranges = ([point for _, point in run] for _, run in groupby(enumerate(points), key=lambda item: item[1] - item[0]))
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in ranges)


MARKS = _marks()
TOKEN = rf"(?:(?=[{UNSPACED}])\w[{MARKS}]*)|[^\W{UNSPACED}](?:[^\W{UNSPACED}]|[{MARKS}{JOINERS}])*"
"""A regular expression that finds words, one after the other. Without a group that captures."""
WORD = re.compile(TOKEN)
