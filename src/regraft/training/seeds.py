"""The same fine-tuning under other seeds: how much of a score is the luck of one training.

Number 1 is the model that the pipeline registers, trained by its own step. Every other number is the same function
under a seed that follows from the pipeline's and the number; its model answers the test rows and is thrown away. The
answers wait beside its checkpoints (``<checkpoints>/<model>-<number>/``) until the last one is trained, so that a step
that was cut goes on in the middle of the training it was cut in, and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from regraft.core import files, progress
from regraft.core.progress import Running
from regraft.core.randomness import seed_of
from regraft.evaluation import predictions
from regraft.evaluation.predictions import Table
from regraft.evaluation.scoring import HeldOut, score_folder
from regraft.models.machine import Machine, resume_on
from regraft.training.checkpoint import Checkpoints, exclusive

ANSWERS, DONE = "answers.parquet", "done.json"
Train = Callable[[Path | None, str, int, Path], Mapping[str, float]]
"""(encoder, name, seed, folder for the model) -> numbers of the training, ``tokens`` among them. None: the method reads no encoder."""


@dataclass(frozen=True)
class Repeat:
    """One model of one further seed, as far as it is kept."""

    model: str
    """Its name: adapted or base."""
    number: int
    """Which of the seeds it has: 2, 3 ... k."""
    answers: Table
    """Its answers to the test rows."""
    tokens: float
    """How many it was trained on."""
    seconds: float
    """How long its training took, over all processes that took part."""
    exact: bool


def repeat(
    train: Train, encoders: Mapping[str, Path | None], count: int, rows: HeldOut, *, seed: int, scratch: Path, called: str = "seeds"
) -> list[Repeat]:
    """Train on each of ``encoders`` (model -> folder) under the numbers 2 ... ``count``, all on the machine of the first.

    :param scratch: a folder on the disk of the workspace; a model lies there between its training and its answers.
    :param called: what the names of the trainings begin with.
    :raises EnvironmentFault: a part was trained on another kind of machine, without ``--allow-inexact``.
    """
    context = progress.current()
    planned = [(model, number) for number in range(2, count + 1) for model in encoders]
    homes = [context.checkpoints / f"{model}-{number}" if context.checkpoints else None for model, number in planned]
    finished: list[Repeat] = []
    earlier = 0.0  # seconds, in processes before this one
    shared: dict[str, int] = {}
    with exclusive(context.checkpoints) if context.checkpoints else contextlib.nullcontext():
        machine, exact = _machine(context, homes[0])
        for part, ((model, number), home) in enumerate(zip(planned, homes, strict=True)):
            if earlier_part := _kept(home, model, number):
                finished.append(earlier_part)
                earlier += earlier_part.seconds
                continue
            own_context = replace(context, checkpoints=home, part=part, parts=len(planned), facts={})
            with progress.running(own_context):
                if Checkpoints(home).start() is None:
                    Checkpoints(home).begin(machine, exact)
                finished.append(_trained(train, encoders[model], model, number, rows, seed, scratch, called))
            earlier += own_context.facts.get("earlier_seconds", 0.0)
            shared |= {name: value for name, value in own_context.facts.items() if name in ("shards", "workers", "workers_mb")}
            _keep(home, finished[-1])
    facts = {"device": machine.device, "threads": machine.threads, "precision": machine.precision, "earlier_seconds": earlier}
    context.facts |= shared
    context.facts |= {**facts, "exact": exact and all(part_done.exact for part_done in finished)}
    return finished


def _machine(context: Running, home: Path | None) -> tuple[Machine, bool]:
    """What all trainings run on: threads chosen at the start of the first one, as within a training."""
    first = Checkpoints(home)
    continues = bool(first.numbers()) or (home is not None and (home / DONE).is_file())
    return resume_on(first.start(), continues=continues, pipeline=context.pipeline, allow_inexact=context.allow_inexact)


def _trained(train: Train, encoder: Path | None, model: str, number: int, rows: HeldOut, seed: int, scratch: Path, called: str) -> Repeat:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        metrics = train(encoder, f"{called}/{model}-{number}", seed_of(seed, "seeds", number), Path(folder) / "model")
        facts = dict(progress.current().facts)  # scoring writes its own
        answers = score_folder(Path(folder) / "model", rows)
    seconds = time.perf_counter() - began + facts.get("earlier_seconds", 0.0)
    return Repeat(model, number, answers, metrics["tokens"], seconds, facts.get("exact", True))  # no exact: it was not trained in a loop


def _keep(home: Path | None, done: Repeat) -> None:
    """Leave the answers beside the checkpoints, which nobody needs any more: the disk holds those of one training."""
    if home is None:
        return
    predictions.write(home / ANSWERS, done.answers)
    record = {"tokens": done.tokens, "seconds": done.seconds, "exact": done.exact, "sha256": files.sha256_file(home / ANSWERS)}
    files.write_json(home / DONE, record)  # last: whole answers
    for number in Checkpoints(home).numbers():
        shutil.rmtree(home / f"{number:08d}", ignore_errors=True)


def _kept(home: Path | None, model: str, number: int) -> Repeat | None:
    """What :func:`_keep` left; None where nothing whole is there."""
    if home is None or not (home / DONE).is_file():
        return None
    record = files.read_json(home / DONE)
    if not (home / ANSWERS).is_file() or files.sha256_file(home / ANSWERS) != record["sha256"]:
        return None
    return Repeat(model, number, predictions.read(home / ANSWERS), record["tokens"], record["seconds"], record["exact"])
