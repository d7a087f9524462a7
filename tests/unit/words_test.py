"""What a reader of a language would call its words, or its characters where it writes no blanks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.core.words import WORD


@pytest.mark.parametrize(("text", "words"), [
    ("हिन्दी में किताबें", ["हिन्दी", "में", "किताबें"]),
    ("தமிழ் நூல்கள்", ["தமிழ்", "நூல்கள்"]),
    ("মাছের ঝোল।", ["মাছের", "ঝোল"]),
    ("قَرَأَ الكِتَابَ", ["قَرَأَ", "الكِتَابَ"]),
    ("می\u200cروم به", ["می\u200cروم", "به"]),
    ("שָׁלוֹם", ["שָׁלוֹם"]),
    ("cafe\u0301 Café", ["cafe\u0301", "Café"]),
    ("我喜欢花园,好", list("我喜欢花园好")),
    ("漢字とカナ。", list("漢字とカナ")),
    ("ง่ายดี", ["ง่", "า", "ย", "ดี"]),
    ("한국어 텍스트", ["한국어", "텍스트"]),
    ("GPU价格3.5元", ["GPU", "价", "格", "3", "5", "元"]),
    ("\u0301 \u200d -", []),
])  # fmt: skip
def test_words_are_those_of_the_language(text, words):
    assert WORD.findall(text) == words


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=80))
def test_in_the_latin_alphabet_words_are_what_they_were(text):
    assert WORD.findall(text) == re.findall(r"(?u)\b\w+\b", text)


def test_a_baseline_of_chinese_texts_tells_topics_apart():
    from regraft.models.tfidf import Tfidf

    topics = {"园艺": "园中玫瑰花开修剪树篱土壤种子", "厨房": "锅里汤汁加盐切菜烤箱面团炉火"}
    texts = [f"{words[n % 5 : n % 5 + 6]}很好{words[n % 7 :]}" for words in topics.values() for n in range(20)]
    labels = [label for label in topics for _ in range(20)]
    model = Tfidf.train(texts[::2], labels[::2], sorted(topics), max_ngram=2, inverse_regularization=10.0)
    answers = [model.labels[k] for k in model.predict(texts[1::2]).argmax(axis=1)]
    assert answers == labels[1::2]
    assert "玫 瑰" in model.vocabulary
