"""A pipeline file is what a person writes; its resolved file is what the steps read.

``pipelines/resolved/<name>.yaml`` is generated: every default filled in, one self-contained section per step, so
that DVC params never miss a key and a default that changed with a new version of regraft shows as a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from regraft.config.auto import AUTO
from regraft.config.candidates import Candidate
from regraft.config.named_files import digest_of, read_named
from regraft.config.pipeline import PipelineContext, PipelineOptions
from regraft.config.pipeline_file import blamed, load_pipeline, pipeline_document
from regraft.config.resolved_file import RESOLVED_SCHEMA, keep_resolved
from regraft.core import files
from regraft.core.errors import ConfigError, Problem
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty, line_of, problem_of
from regraft.data import spent as spent_rows
from regraft.execution import composition
from regraft.execution.step import Output, Step
from regraft.gates.options import seeds_of
from regraft.gates.registry import gate_of, steps
from regraft.models import base_model, sentence_folder, tokenizer_files
from regraft.models.families import ModelFamily, family_in
from regraft.models.kinds import WITHOUT_ENCODER
from regraft.models.task_types import task_type
from regraft.training.options import MethodOptions, finetune_options
from regraft.training.plugins import METHODS, OBJECTIVES, Method, require_installed


def resolve(workspace: Workspace, name: str, sets: Sequence[str] = ()) -> dict[str, Any]:
    """The content of the resolved file of pipeline ``name``."""
    from regraft.data.contract import default_contract
    from regraft.data.contract_file import load_contract

    options = load_pipeline(workspace, name, sets)
    _require_steps(workspace, name, options)
    _require_inputs(workspace, name, options)
    folder = base_model.locate(options.base_model, workspace.root)
    base_model.check(options.base_model, folder)
    contract_file = workspace.root / (options.data.contract or f"pipelines/{name}.contract.yaml")
    if contract_file.is_file():
        contract = load_contract(contract_file)
    elif options.data.contract:
        raise ConfigError(f"data.contract: {options.data.contract} is not there; create it or leave the key out")
    else:
        contract = default_contract(options.task)
    family = family_in(folder)
    options = _for_family(workspace, name, options, family, sets)
    named = read_named(workspace, name, options, contract)
    _require_plugins(workspace, name, options, family)
    _require_marks(workspace, name, options, folder)
    _require_pooling(workspace, name, options, folder)
    spent = _spent(workspace, name, options)
    replay, pooling = _replay_digest(workspace, name, options, sets), sentence_folder.pooling(folder)
    options = _pooled(options, pooling)
    digest, sides = base_model.digest(folder), _side_digests(workspace, name, options)
    context = PipelineContext(
        name, options, digest, contract, family.name, named, spent=spent, replay_digest=replay, pooling=pooling, side_digests=sides
    )
    sections = _sections(composition.steps(workspace), context)
    _require_positions(workspace, name, options, folder, sections, sets)
    return {
        "schema": RESOLVED_SCHEMA,
        "pipeline": name,
        "seed": options.seed,
        "data": {key: list(paths) if isinstance(paths, tuple) else paths for key, paths in options.data_read.items()},
        "gates": [gate.model_dump(mode="json", exclude_none=True) for gate in options.gates],
        "candidates": {candidate.name: candidate.document() for candidate in options.every_candidate},
        **({"by_cost": list(options.by_cost)} if options.by_cost else {}),  # who is chosen on dev rows
        **options.model_dump(mode="json", include={"card"}, exclude_none=True),  # no step reads it, nor the next
        **({"notify": options.notify.hooks} if options.notify and options.notify.hooks else {}),
        **({"approval": options.asks.model_dump(mode="json", exclude_none=True)} if options.asks else {}),
        **sections,
    }


def _replay_digest(workspace: Workspace, name: str, options: PipelineOptions, sets: Sequence[str]) -> str | None:
    """The digest of the general text that ``pretrain.replay`` names; None where it names none, or nothing is adapted."""
    replay = options.pretrain.replay
    if replay is None or replay.text is None or not options.adapts:
        return None
    otherwise = ", or leave the key out: then Python's own docstrings are read"
    try:
        return digest_of(workspace, name, replay.text, ("pretrain", "replay", "text"), otherwise)
    except ConfigError as error:
        raise faulty([blamed(problem, sets) for problem in error.problems]) from None


def _side_digests(workspace: Workspace, name: str, options: PipelineOptions) -> dict[str, str]:
    """Path -> digest of the rows of other tasks that candidates learn."""
    digests: dict[str, str] = {}
    for candidate in options.every_candidate:
        owner = ("candidates", candidate.name, "finetune") if "tasks" in candidate.finetune else ("finetune",)
        for task, rows in getattr(options.finetune_of(candidate), "tasks", {}).items():
            if rows.data not in digests:
                digests[rows.data] = digest_of(workspace, name, rows.data, (*owner, "tasks", task, "data"))
    return digests


def _spent(workspace: Workspace, name: str, options: PipelineOptions) -> dict[str, str]:
    """The list of rows that test no more, where there is one, for the sections that deal rows out."""
    path = workspace.root / "pipelines" / f"{name}{spent_rows.SUFFIX}"
    if not path.is_file():
        return {}
    shown, key = workspace.relative(path), "data.split" if options.data.split else "split.by" if options.split.by else None
    if key is not None:
        message = f"{shown} lists rows that test no more, but {key} says which rows test"
        raise ConfigError(message, fix=f"take {key} out of the pipeline file, or: rm {shown}")
    spent_rows.load(path, shown)
    return {"spent": shown, "spent_digest": files.sha256_file(path)}


def _sections(steps: Sequence[Step[Any]], context: PipelineContext) -> dict[str, Any]:
    """One section for every step that the pipeline has, and for every candidate of those that run for each."""
    sections: dict[str, Any] = {}
    for step in steps:
        for candidate in step.instances(context.options):
            name = candidate.instance(step.name) if candidate else step.name
            sections[name] = step.config.of(replace(context, candidate=candidate)).model_dump(mode="json")
    return sections


def _require_steps(workspace: Workspace, name: str, options: PipelineOptions) -> None:
    """Every step whose evidence a gate needs is in the workspace, whose steps are the user's own."""
    known = {step.name for step in composition.steps(workspace)}
    path = workspace.pipeline_file(name)
    problems = []
    for position, gate in enumerate(options.gates):
        for step, key in steps(gate).items():
            if step in known:
                continue
            message = f"gates.{position}.{key} needs the step {step!r}, which STEPS in pipelines/__init__.py does not have"
            value = getattr(gate, key)
            column = f"gates.{position}.{key}"
            place = {"file": workspace.relative(path), "column": column, "value": value if isinstance(value, str) else None}
            row = line_of(pipeline_document(workspace, name)[1], ["gates", position, key])
            problems.append(Problem(message=message, row=row, rule="step exists", fix="regraft init --upgrade .", **place))
    texts: str = options.pretrain.texts
    by_key = [("pretrain.texts", "row_tokens", texts)] if options.adapts and options.pretrain.reads_rows else []
    by_key += [("switch_point", "switch_point", "")] if options.switch_point else []
    for column, step, value in by_key:
        if step not in known:
            message = f"{column}{value and f': {value}'} needs the step {step!r}, which STEPS in pipelines/__init__.py does not have"
            row, fix = line_of(pipeline_document(workspace, name)[1], column.split(".")), "regraft init --upgrade ."
            told = {"file": workspace.relative(path), "column": column, "value": value or None}
            problems.append(Problem(message=message, row=row, rule="step exists", fix=fix, **told))
    if problems:
        raise faulty(problems)


def _require_inputs(workspace: Workspace, name: str, options: PipelineOptions) -> None:
    """Whatever the pipeline's steps read is left by one of them, or named in its file."""
    steps = composition.steps_of(composition.steps(workspace), options)
    there = {step.name for step in steps} | {f"data.{key}" for key in options.data_read}
    for step in steps:
        for source in step.sources.values():
            if (needed := source.step if isinstance(source, Output) else source) in there:
                continue
            if isinstance(source, Output):
                message = f"the step {step.name!r} reads what {needed!r} leaves, which STEPS in pipelines/__init__.py does not have"
                raise ConfigError(message, fix=f"regraft init --upgrade . && regraft plan {name}")
            message = f"the step {step.name!r} reads {needed}, which pipelines/{name}.yaml does not name, or no candidate needs"
            raise ConfigError(message, fix=f"name {needed} in pipelines/{name}.yaml")


def _for_family(workspace: Workspace, name: str, options: PipelineOptions, family: ModelFamily, sets: Sequence[str]) -> PipelineOptions:
    """``options`` with what ``family`` takes where the file leaves it open; a key that fits only what another takes is a fault."""
    try:
        return options.for_family(family)
    except ValidationError as error:
        shown, node = workspace.relative(workspace.pipeline_file(name)), pipeline_document(workspace, name)[1]
        problems = [blamed(problem_of(item, shown, node, PipelineOptions), sets) for item in error.errors(include_url=False)]
    of_family = (
        f"{options.base_model} is of the family {family.name}, where `objective` left out is {family.objective}, `method` {family.method}"
    )
    raise faulty([Problem({**problem, "message": f"{problem['message']}; base_model {of_family}"}) for problem in problems])


def _require_plugins(workspace: Workspace, name: str, options: PipelineOptions, family: ModelFamily) -> None:
    """Objective, task type and gates are made for the base model's ``family``; every method can do its part."""
    _require_methods(workspace, name, options)
    problems = list({problem["column"]: problem for problem in _methods_of_others(workspace, name, options, family)}.values())
    objective, task = OBJECTIVES[options.pretrain.objective], task_type(options.task.type)
    chosen = {("pretrain", "objective"): (objective.name, objective.families), ("task", "type"): (task.name, task.families)}
    for place, (plugin, families) in chosen.items():
        if not family.stands_for & families:
            key, made_for = ".".join(place), ", ".join(sorted(families))
            message = f"{key}: {plugin} is made for {made_for}, but the base model {options.base_model} is of the family {family.name}"
            own = f": {family.objective}, or another base_model" if key == "pretrain.objective" else ""
            problems.append(_unfit(workspace, name, place, plugin, message, own))
    for position, gate in enumerate(options.gates):
        if (measurable := gate_of(gate).families) is not None and not family.stands_for & measurable:
            made_for = ", ".join(sorted(measurable))
            message = f"gates.{position}: {gate.gate} measures models of the family {made_for}, "
            message += f"but the base model {options.base_model} is of the family {family.name}"
            problems.append(_unfit(workspace, name, ("gates", position), None, message, ": take it out, or name another base_model"))
    if problems:
        raise faulty(problems)


def _require_marks(workspace: Workspace, name: str, options: PipelineOptions, folder: Path) -> None:
    """The base model in ``folder`` has what the objective needs of it, where one is adapted, and a mask token where tokens are hidden."""
    refusal = getattr(OBJECTIVES[options.pretrain.objective], "refusal", None)
    message = refusal(folder, options.pretrain) if refusal and options.adapts else None
    if message:
        raise faulty([_unfit(workspace, name, ("pretrain", "objective"), options.pretrain.objective, f"pretrain.objective: {message}", "")])
    hiding: dict[tuple[str | int, ...], str] = {
        ("gates", place): f"the gate `{gate.gate}`" for place, gate in enumerate(options.gates) if gate_of(gate).hides_tokens
    }
    for where, asked in _ways(options):
        if getattr(METHODS[asked.method], "hides_tokens", False):
            hiding[where] = f"the method `{asked.method}`"
    if hiding and tokenizer_files.without_mask(folder):
        lacks = f"hides tokens of general text, and the tokenizer of base_model {options.base_model} has no mask token"
        way_out = ": take it out, or name another base_model"
        raise faulty(
            [_unfit(workspace, name, place, None, f"{'.'.join(map(str, place))}: {who} {lacks}", way_out) for place, who in hiding.items()]
        )


def _require_pooling(workspace: Workspace, name: str, options: PipelineOptions, folder: Path) -> None:
    """What the base model in ``folder`` says that stands for a text is something that methods have, where the file leaves it open."""
    pooling, way_out = sentence_folder.pooling(folder), ": pooling: mean, or cls"
    if pooling not in (None, *sentence_folder.KNOWN):
        unlike = f"was made for pooling by {pooling} ({sentence_folder.MODULES}), which no method has"
    elif unheeded := sentence_folder.unheeded(folder):
        unlike, way_out = f"{unheeded}, which no method does", f": pooling: {pooling or 'mean'}, which reads vectors without that"
    else:
        return
    readers: list[tuple[tuple[str, ...], str, Any]] = [(where, asked.method, asked) for where, asked in _ways(options)]
    readers += [(("pretrain",), options.pretrain.objective, options.pretrain)] if options.adapts else []
    for place, reader, asked in readers:
        if _leaves_pooling_open(asked):
            message = f"{'.'.join(place)}: {reader} reads vectors, and the base model {options.base_model} {unlike}"
            raise faulty([_unfit(workspace, name, place, pooling, message, way_out)])


def _ways(options: PipelineOptions) -> Iterator[tuple[tuple[str, ...], MethodOptions]]:
    """The options by which each candidate is fine-tuned, and where the file says them."""
    for candidate in options.every_candidate:
        yield ("candidates", candidate.name, "finetune") if candidate.finetune else ("finetune",), options.finetune_of(candidate)


def _leaves_pooling_open(options: Any) -> bool:
    """Whether options of a method or an objective have a pooling, and the file names none."""
    return bool({"pooling"} & type(options).model_fields.keys() - options.model_fields_set)


def _pooled(options: PipelineOptions, pooling: str | None) -> PipelineOptions:
    """``options`` with the base model's ``pooling`` for an objective that reads vectors, where the file names none."""
    if pooling is None or not _leaves_pooling_open(options.pretrain):
        return options
    return options.model_copy(update={"pretrain": options.pretrain.model_copy(update={"pooling": pooling})})


def _methods_of_others(workspace: Workspace, name: str, options: PipelineOptions, family: ModelFamily) -> Iterator[Problem]:
    """Candidates whose method, or its pooling, is made for models of another family; a method that names none is made for all."""
    for candidate in options.every_candidate:
        asked = options.finetune_of(candidate)
        families: frozenset[str] | None = getattr(METHODS[asked.method], "families", None)
        of_model = f"the base model {options.base_model} is of the family {family.name}"
        for key in ("method", *({"pooling"} & type(asked).model_fields.keys())):
            place = ("candidates", candidate.name, "finetune", key) if key in candidate.finetune else ("finetune", key)
            if key == "method" and families is not None and not family.stands_for & families:
                made_for = ", ".join(sorted(families))
                yield _unfit(
                    workspace, name, place, asked.method, f"{'.'.join(place)}: {asked.method} is made for {made_for}, but {of_model}", ""
                )
            if key == "method" and getattr(asked, "class_weights", None) and not _weighs(options.task.type):
                message = f"finetune.class_weights: the loss of task.type {options.task.type} takes no weights of rows"
                yield _unfit(workspace, name, place, None, message, ": take class_weights out")
            if key == "pooling" and getattr(asked, key) == "cls" and "encoder" not in family.stands_for:
                message = f"{'.'.join(place)}: cls is the first token, which sees no other, because {of_model}"
                yield _unfit(workspace, name, place, "cls", message, ": mean")


def _weighs(task: str) -> bool:
    """Whether rows can cost more or less in a task of this type."""
    return "weights" in signature(task_type(task).loss).parameters


def _unfit(workspace: Workspace, name: str, place: tuple[str | int, ...], value: str | None, message: str, way_out: str) -> Problem:
    """What stands at ``place`` does not fit the family of the base model."""
    shown, row = workspace.relative(workspace.pipeline_file(name)), line_of(pipeline_document(workspace, name)[1], place)
    column = ".".join(map(str, place))
    fix = f"edit {shown}" + (f", line {row}" if row else f": {column}") + way_out
    return Problem(message=message, file=shown, row=row, column=column, value=value, rule="family", fix=fix)


def _require_methods(workspace: Workspace, name: str, options: PipelineOptions) -> None:
    """Each candidate's method has its libraries here, and can start where the candidate does."""
    written = options.finetune.model_dump(exclude_unset=True)
    for candidate in options.every_candidate:
        method = METHODS[finetune_options(written, candidate.finetune).method]
        require_installed(method)
        _require_parts(workspace, name, options, candidate, method)
        if candidate.start is None or candidate.start in method.starts:
            continue
        can = (
            f"it starts from {' or '.join(method.starts)}"
            if method.starts
            else "it reads no encoder: write it as a candidate without `start`"
        )
        place = ("candidates", candidate.name, "start") if "method" in candidate.finetune else ("finetune", "method")
        row, shown = line_of(pipeline_document(workspace, name)[1], place), workspace.relative(workspace.pipeline_file(name))
        message = f"{'.'.join(place)}: the candidate {candidate.name!r} starts from {candidate.start}, which {method.name} does not; {can}"
        fix = f"edit {shown}" + (f", line {row}" if row else "")
        raise faulty([Problem(message=message, file=shown, row=row, column=".".join(place), value=method.name, rule="start", fix=fix)])


def _require_parts(workspace: Workspace, name: str, options: PipelineOptions, candidate: Candidate, method: Method) -> None:
    """A method made of other candidates' models is a candidate's own, and no gate asks a model for what its method does not leave."""
    fields = method.options.model_fields
    key = next((key for key in ("of", "teacher") if key in fields), None)
    shown = workspace.relative(workspace.pipeline_file(name))
    asks_encoder = next((gate.gate for gate in options.gates if gate_of(gate).of_encoder), None)
    called = f"candidates.{candidate.name}: {method.name}"
    message = None
    if key and not candidate.made_of:
        message = f"finetune.method: {method.name} is made of other candidates; write it as a candidate with `{key}` in its own `finetune`"
    elif candidate.teacher and options.task.text_pair is not None:
        message = f"{called} labels documents, which are no pairs, and task.text_pair says that rows are; take one of the two out"
    elif "tasks" in fields and seeds_of(options.gates) is not None:
        message = f"{called} learns other tasks, which the gate `seeds` does not hand on when it trains again; take one of the two out"
    elif key and seeds_of(options.gates) is not None:
        message = f"{called} is made of other candidates, and the gate `seeds` trains each again by itself; take one of the two out"
    elif method.kind in WITHOUT_ENCODER and asks_encoder:
        by_auto = (pipeline_document(workspace, name)[0].get("finetune") or {}).get("method") == AUTO
        way_out = f"write the list of `{AUTO}` out without it, or take the gate out" if by_auto else "take one of the two out"
        message = f"{called} has no encoder of its own, and the gate `{asks_encoder}` asks for one; {way_out}"
    if message:
        raise faulty([Problem(message=message, file=shown, column="candidates", value=method.name, rule="parts", fix=f"edit {shown}")])


def _require_positions(
    workspace: Workspace, name: str, options: PipelineOptions, folder: Path, sections: Mapping[str, Any], sets: Sequence[str]
) -> None:
    """The base model in ``folder`` has a position for every token of the lengths that steps read, written or default."""
    most = base_model.positions(folder)
    if most is None:
        return
    shown = workspace.relative(workspace.pipeline_file(name))
    node = pipeline_document(workspace, name)[1]
    problems = []
    for place, part_options in _lengths(options):
        *parts, key = place
        length = getattr(part_options, key, None) or 0  # a method may read no tokens, and one that the data choose is never too long
        if length <= most or not any(_reads(section, key) for section in sections.values()):
            continue
        default = "" if key in part_options.model_fields_set else ", the default"
        message = f"{'.'.join(place)} is {length}{default}, but the base model {options.base_model} reads at most {most} tokens"
        least = next(limit.ge for limit in type(part_options).model_fields[key].metadata if hasattr(limit, "ge"))
        row = line_of(node, place)
        fix = f"edit {shown}" + (f", line {row}" if row else "")
        fix += f": {'.'.join(parts)}: {{{key}: {most}}}" if most >= least else f": a base_model that reads {least} tokens or more"
        problem = Problem(message=message, file=shown, row=row, column=".".join(place), value=length, rule="base_model.positions", fix=fix)
        problems.append(blamed(problem, sets))
    if problems:
        raise faulty(problems)


def _lengths(options: PipelineOptions) -> list[tuple[tuple[str, ...], Any]]:
    """(place, options that hold its last key) of every length: of the adaptation, of all candidates together, of one with its own."""
    of_candidates = {
        ("candidates", candidate.name, "finetune", "max_length") if "max_length" in candidate.finetune else ("finetune", "max_length"): (
            options.finetune_of(candidate)
        )
        for candidate in options.every_candidate
    }
    return [(("pretrain", "sequence_length"), options.pretrain), *of_candidates.items()]


def _reads(section: Mapping[str, Any], key: str) -> bool:
    """Whether a step's section holds ``key``, of its own or in a part of the pipeline file."""
    return key in section or any(key in value for value in section.values() if isinstance(value, dict))


def write_resolved(workspace: Workspace, name: str, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Render the resolved file of ``name`` and return its content; an unchanged file is not touched."""
    resolved = resolve(workspace, name, sets)
    keep_resolved(workspace, resolved)
    return resolved
