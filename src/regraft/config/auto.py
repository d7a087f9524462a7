"""``finetune: {method: auto}``: a fixed list of candidates in the place of one method, of which dev rows choose by the one rule.

It is the same list for every pipeline, so that what ``auto`` did can be read in the resolved file and written by hand. Which of them are
trained follows from the training rows of the rarest class alone: those for few labels are withheld above a count, full fine-tuning below
one, and where the file asks for ``switch_point``, the ends of its interval take the place of these counts.
``pretrain: {objective: auto}`` is the objective of the base model's family.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

AUTO = "auto"
FEW, PAIRS, FULL = 16, 64, 8
"""Training rows of the rarest class: up to which class means and pairs of rows are tried, and from which on every weight is. 8 and 64 a
class are the settings in which Tunstall et al. 2022 ("SetFit") compare pairs with full fine-tuning; a rule of thumb, measured on no data
of ours."""
OF_BASE: dict[str, dict[str, Any]] = {
    "words": {"finetune": {"method": "tfidf"}},
    "means": {"start": "base", "finetune": {"method": "prototype"}, "withhold": {"above_labels": FEW}},
    "probe": {"start": "base", "finetune": {"method": "linear_probe"}},
    "pairs": {"start": "base", "finetune": {"method": "contrastive"}, "withhold": {"above_labels": PAIRS}},
    "base": {"start": "base", "withhold": {"below_labels": FULL}},
}
OF_ADAPTED: dict[str, dict[str, Any]] = {"adapted": {"start": "adapted", "withhold": {"below_labels": FULL}}}
"""What is added where there are texts to adapt to."""


def expanded(document: Any) -> Any:
    """The content of a pipeline file with ``auto`` written out; any other content as it is.

    :raises ValidationError: it names candidates as well.
    """
    finetune = document.get("finetune") if isinstance(document, Mapping) else None
    if not isinstance(finetune, Mapping) or finetune.get("method") != AUTO:
        return document
    if document.get("candidates") is not None:
        message = "`auto` is a list of candidates, and `candidates` names others; take one of the two out"
        fault = PydanticCustomError("auto", "{sentence}", {"sentence": message})
        raise ValidationError.from_exception_data("auto", [InitErrorDetails(type=fault, loc=("finetune", "method"), input=AUTO)])
    data, pretrain = document.get("data"), document.get("pretrain")
    texts = isinstance(data, Mapping) and data.get("corpus") is not None
    texts = texts or (isinstance(pretrain, Mapping) and pretrain.get("texts") == "rows")
    adapts = texts and document.get("adapt") != "never"
    shared = {key: value for key, value in finetune.items() if key != "method"}
    return {**document, "finetune": shared, "candidates": _measured(OF_BASE | (OF_ADAPTED if adapts else {}), document.get("switch_point"))}


def _measured(candidates: dict[str, dict[str, Any]], point: Any) -> dict[str, dict[str, Any]]:
    """``candidates``, where the two ways that ``switch_point`` compares are withheld by what it measures."""
    if not isinstance(point, Mapping):
        return candidates
    compared = (None, point.get("few", "contrastive"))  # None: the pipeline's own method
    return {
        name: {**own, "withhold": {**own["withhold"], "measured": True}}
        if "withhold" in own and own.get("finetune", {}).get("method") in compared
        else own
        for name, own in candidates.items()
    }


def without_objective(document: Any) -> Any:
    """The content of a pipeline file without ``pretrain: {objective: auto}``, which is what leaving the key out means."""
    pretrain = document.get("pretrain") if isinstance(document, Mapping) else None
    if not isinstance(pretrain, Mapping) or pretrain.get("objective") != AUTO:
        return document
    return {**document, "pretrain": {key: value for key, value in pretrain.items() if key != "objective"}}
