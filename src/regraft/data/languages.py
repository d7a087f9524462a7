"""Which language a text is in, where that is clear.

py3langid reads bytes, so it needs no model of regraft's, no network and no knowledge of scripts. It always names a language; a short text
it is not sure of, and those are left alone. What was measured stands in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_WRITTEN = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr fuv fy ga gcf gcr gd "
    "gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk "
    "ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl "
    "tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu"
)
CODES = frozenset(_WRITTEN.split())
"""Languages that are told apart: ISO 639-1 codes, and ISO 639-3 where there is none."""
SURE = 0.8
"""Probability from which on a text counts as being in a language. Of 6,000 short English questions none was another one's above it."""
NO_LANGUAGE = "zxx"
"""What numbers, codes and addresses are said to be."""
READ = 2_000
"""Characters of a text that are looked at: more do not make it clearer, and take 1 µs each."""


def languages(texts: Iterable[str | None]) -> list[str | None]:
    """The language of each text; None where it is not clear, or there is no text."""
    return [None if text is None else language(text) for text in texts]


def language(text: str) -> str | None:
    """The language of one text; None where it is not clear."""
    code, probability = _identifier().classify(text[:READ])
    return str(code) if probability >= SURE and code != NO_LANGUAGE else None


def require_known(code: str) -> str:
    """``code``; ValueError where no text can be told to be in it."""
    if code not in CODES:
        raise ValueError("must be the ISO 639 code of a language that is told apart, such as en")
    return code


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
