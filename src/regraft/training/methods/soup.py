"""``soup``: the mean of the weights of other candidates that were fine-tuned from one start. Nothing is trained, and one model serves.

Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference time",
algorithm 1: the best on dev rows first, and each other one stays in if the mean is no worse with it. Candidates of one seed begin with
the same head.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from regraft.training.methods.ensemble import TogetherOptions, named_models
from regraft.training.plugins import Learning, Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "model.safetensors"


class SoupOptions(TogetherOptions):
    """The mean of other candidates' weights (Wortsman et al. 2022, "Model soups")."""

    method: Literal["soup"]
    """Other candidates' weights are averaged."""
    ingredients: Literal["greedy", "all"] = "greedy"
    """`greedy`: a candidate whose weights make the mean answer fewer dev rows rightly is left out. `all`: none is."""


class Soup:
    """Reads folders, writes one."""

    name = "soup"
    version = 1
    rank = 48
    kind = "sequence_classification"
    options = SoupOptions
    starts: tuple[Start, ...] = ()
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def train(self, learning: Learning, options: SoupOptions) -> dict[str, float]:
        """Write the mean; returns how many candidates are in it.

        :raises ConfigError: two of them differ in the names or shapes of their weights, or read texts of different lengths.
        """
        from safetensors.numpy import load_file

        from regraft.core import files

        folders = [folder for _, folder in named_models(learning, options.of)]
        weights = [load_file(folder / WEIGHTS) for folder in folders]
        lengths = [files.read_json(folder / "serving.json")["max_length"] for folder in folders]
        _require_alike(options.of, weights, lengths)
        with TemporaryDirectory(dir=learning.out.parent, prefix=".soup-") as scratch:
            chosen = list(range(len(folders)))
            if options.ingredients == "greedy" and len(learning.dev):
                chosen = greedy(folders[0], weights, learning, Path(scratch) / "model")
            write(folders[0], [weights[place] for place in chosen], learning.out)
        return {"tokens": learning.words, "members": len(chosen)}

    def describe(self, options: SoupOptions) -> dict[str, Any]:
        """Nothing: the members' own ``max_length`` is in the folder already."""
        return {}


def _require_alike(names: Sequence[str], weights: Sequence[Any], lengths: Sequence[int]) -> None:
    from regraft.core.errors import ConfigError

    shapes = [{name: value.shape for name, value in each.items()} for each in weights]
    for name, shape, length in zip(names, shapes, lengths, strict=True):
        if shape != shapes[0]:
            raise ConfigError(f"finetune.of: {name} has other weights than {names[0]}, so they have no mean", fix="method: ensemble")
        if length != lengths[0]:
            message = f"finetune.of: {name} reads {length} tokens and {names[0]} {lengths[0]}, so their weights have no mean"
            raise ConfigError(message, fix="write the same max_length for both")


def greedy(like: Path, weights: Sequence[Any], learning: Learning, scratch: Path) -> list[int]:
    """The numbers of those that are in the mean: the best on dev rows, and whoever makes it no worse, the better ones first."""

    def right(chosen: Sequence[int]) -> int:
        shutil.rmtree(scratch, ignore_errors=True)
        write(like, [weights[place] for place in chosen], scratch)
        return _right(scratch, learning)

    alone = [right([place]) for place in range(len(weights))]
    order = sorted(range(len(weights)), key=lambda place: -alone[place])
    chosen, best = order[:1], alone[order[0]]
    for place in order[1:]:
        if (together := right([*chosen, place])) >= best:
            chosen, best = [*chosen, place], together
    return sorted(chosen)


def _right(folder: Path, learning: Learning) -> int:
    """How many dev rows the classifier in ``folder`` answers rightly."""
    from regraft.models.kinds import KINDS, kind_of
    from regraft.models.task_types import task_type

    dev = learning.dev
    texts = list(zip(dev["first"], dev["second"], strict=True)) if "second" in dev else dev["text"].tolist()
    answers = KINDS[kind_of(folder)].load(folder, "cpu").logits(texts, 64).argmax(axis=1)
    return int((answers == task_type(learning.task).truth(dev, learning.labels)).sum())


def write(like: Path, weights: Sequence[dict[str, NDArray[np.float32]]], out: Path) -> None:
    """The folder ``like`` with the mean of ``weights``, summed in fp64; without what says how one of them was calibrated."""
    import numpy as np
    from safetensors.numpy import save

    from regraft.core import files

    left_out = shutil.ignore_patterns(WEIGHTS, "calibration.json", "labels.json")
    shutil.copytree(like, out, copy_function=shutil.copyfile, ignore=left_out, dirs_exist_ok=True)
    mean = {
        name: np.asarray(np.mean([each[name] for each in weights], axis=0, dtype=np.float64), dtype=np.float32)
        for name in sorted(weights[0])
    }
    files.write_bytes(out / WEIGHTS, save(mean, metadata={"format": "pt"}))


SOUP = Soup()
