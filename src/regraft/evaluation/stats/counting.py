"""Sums of columns by group, the one operation that every resampled metric is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regraft.evaluation.stats.paired import Ints


class GroupSum:
    """Sums the chosen columns of a matrix by their group: [block, columns] -> [block, groups], exact in integers."""

    def __init__(self, group: Ints, chosen: NDArray[np.bool_], groups: int) -> None:
        columns = np.flatnonzero(chosen)
        self.order = columns[np.argsort(group[columns], kind="stable")]
        self.occupied, self.starts = np.unique(group[self.order], return_index=True)
        self.groups = groups

    def __call__(self, counts: Ints) -> Ints:
        total = np.zeros((len(counts), self.groups), dtype=np.int64)
        if len(self.order):  # reduceat knows no empty segment: only groups that have a column are summed
            total[:, self.occupied] = np.add.reduceat(counts[:, self.order], self.starts, axis=1)
        return total
