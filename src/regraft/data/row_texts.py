"""The texts of the training rows as documents: what a base model reads of a task before it learns it, without one label.

Gururangan et al. 2020, "Don't Stop Pretraining", section 4. Dev and test rows are left out, or they would measure a model that has read
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from regraft.core import files
from regraft.data.pairs import apart

if TYPE_CHECKING:
    import pandas as pd

BATCH = 1_000
"""Rows in a batch of documents."""


def training_texts(rows: pd.DataFrame) -> Iterator[tuple[list[str], list[bool]]]:
    """``(texts, held out)`` of the rows whose split is train, batch by batch, equal texts once; none is held out.

    Their order is a hash of the text, so ids and labels have no influence on it. The two texts of a pair are two documents.

    :param rows: columns text and split.
    """
    texts = sorted({part for text in rows.loc[rows["split"] == "train", "text"] for part in apart(text)}, key=files.sha256_text)
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        yield batch, [False] * len(batch)
