"""A pipeline file in, every fault of it out, in the words of someone who edits YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from regraft.config.pipeline_file import load_pipeline
from regraft.config.resolved_file import render
from regraft.config.step_names import kind_of
from regraft.core.errors import ConfigError, DataRejected
from regraft.core.workspace import Workspace
from regraft.data import precheck
from regraft.execution import composition
from regraft.execution.resolve import resolve, write_resolved

HEAD = "version: 1\nbase_model: models/m\ndata:\n  corpus: c.txt\n  labelled: l.csv\n"  # 5 lines


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").write_text("")
    return Workspace(tmp_path)


def load(workspace: Workspace, text: str | bytes, *sets: str):
    workspace.pipeline_file("p").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_pipeline(workspace, "p", sets)


def fault(workspace: Workspace, text: str | bytes, *sets: str) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        load(workspace, text, *sets)
    return raised.value


def test_five_lines_are_a_whole_pipeline(workspace):
    options = load(workspace, HEAD)
    assert options.task.id == "id"
    assert [getattr(gate, gate.gate) for gate in options.gates] == [0.3, "tfidf", "champion"]


@pytest.mark.parametrize(
    ("tail", "row", "column", "says"),
    [
        ("pretrian: {}\n", 6, "pretrian", "pretrian: unknown; did you mean pretrain?"),
        ("pretrain:\n  batch_szie: 3\n", 7, "pretrain.batch_szie", "did you mean batch_size?"),
        ("zzz: 1\n", 6, "zzz", "zzz: unknown"),
        ("gates:\n- beats: champion\n- metrik: accuracy\n  at_least: 0.5\n", 8, "gates.1.metrik", "did you mean metric?"),
        ("pretrain:\n  sequence_length: 8\n", 7, "pretrain.sequence_length", "greater than or equal to 16, not 8"),
        ("pretrain:\n  mask_probability: .nan\n", 7, "pretrain.mask_probability", "not nan"),
        ("finetune:\n  epochs: many\n", 7, "finetune.epochs", "valid integer"),
        ("seed: -1\n", 6, "seed", "greater than or equal to 0, not -1"),
        ("split: {test: 0.7, dev: 0.3}\n", 6, "split", "split.test (0.7) + split.dev (0.3) leave no training rows"),
        ("task: {type: summarization}\n", 6, "task.type", "no task type 'summarization'. Known: text-classification"),
        ("gates:\n- {metric: accuracy}\n", 7, "gates.0", "exactly one of `beats`, `at_least`, `non_inferior_by`"),
        ("gates:\n- {at_least: 0.5, beats: tfidf}\n", 7, "gates.0", "exactly one of"),
        ("gates:\n- {at_least: 1.5}\n", 7, "gates.0.at_least", "less than or equal to 1"),
        ("gates:\n- {beats: tfidf, confidence: 1}\n", 7, "gates.0.confidence", "less than 1"),
        ("gates:\n- {metric: macro_f2, beats: tfidf}\n", 7, "gates.0.metric", "did you mean 'macro_f1'?"),
        ("gates:\n- {negative_flip: {max: 0.1}}\n", 7, "gates.0.negative_flip", "did you mean negative_flips?"),
        ("gates:\n- {negative_flips: {max: 0.1, mix: 1}}\n", 7, "gates.0.negative_flips.mix", "did you mean max?"),
        ("gates:\n- {negative_flips: {max: 1.1}}\n", 7, "gates.0.negative_flips.max", "less than or equal to 1"),
        ("gates:\n- {holdout: {budget: 0}}\n", 7, "gates.0.holdout.budget", "greater than or equal to 1"),
        ("gates:\n- {holdout: {budget: 9}, metric: mcc}\n", 7, "gates.0", "`holdout` does not read `metric`"),
        ("gates:\n- {beats: tfidf, against: champion}\n", 7, "gates.0", "`beats` does not read `against`"),
        ("gates:\n- {beats: tfidf, slices: [source]}\n", 7, "gates.0", "`beats` does not read `slices`"),
        ("gates:\n- {slices: [source]}\n", 7, "gates.0.non_inferior_by", "missing"),
        ("gates:\n- {slices: [], non_inferior_by: 0.1}\n", 7, "gates.0.slices", "at least 1 item"),
        ("gates:\n- {slices: [a, a], non_inferior_by: 0.1}\n", 7, "gates.0", "stands twice in `slices`"),
        ("gates:\n- {slices: [a], non_inferior_by: 0.1, metric: mcc}\n", 7, "gates.0", "slices are compared by accuracy, not mcc"),
        ("gates:\n- {non_inferior_by: 0.1, min_rows: 20}\n", 7, "gates.0", "`non_inferior_by` does not read `min_rows`"),
        ("gates:\n- {metric: log_loss, at_least: 0.5}\n", 7, "gates.0", "better when it is lower"),
        ("gates:\n- {metric: accuracy, at_least: -0.5}\n", 7, "gates.0", "accuracy is never below 0"),
        ("pretrain: 3\n", 6, "pretrain", "not 3"),
    ],
)
def test_a_fault_has_its_line_its_key_and_its_reason(workspace, tail, row, column, says):
    error = fault(workspace, HEAD + tail)
    (problem,) = error.problems
    assert (problem["file"], problem["row"], problem["column"]) == ("pipelines/p.yaml", row, column)
    assert says in problem["message"]
    assert f"{problem['message']} (line {row})" in str(error)


def test_all_faults_are_told_at_once(workspace):
    error = fault(workspace, "version: 2\ndata: {corpus: c, labeled: l}\nsede: 1\nfinetune: {epochs: 0}\n")
    assert {problem["column"] for problem in error.problems} == {
        "version", "base_model", "data.labelled", "data.labeled", "sede", "finetune.epochs",
    }  # fmt: skip
    assert ": 6 faults" in str(error)


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "log_loss", "beats": "champion", "confidence": 0.9},
        {"metric": "mcc", "at_least": -0.1, "confidence": 0.95},
        {"metric": "accuracy", "non_inferior_by": 0.0, "against": "tfidf", "confidence": 0.95},
        {"slices": ["source", "text_oov"], "non_inferior_by": 0.02, "against": "champion", "min_rows": 30, "confidence": 0.95},
        {"negative_flips": {"max": 0.02}, "confidence": 0.95},
        {"holdout": {"budget": 20}},
    ],
)
def test_a_gate_is_resolved_to_what_it_reads_and_loads_again(workspace, gate):
    (found,) = load(workspace, HEAD + yaml.safe_dump({"gates": [gate]})).gates
    assert found.model_dump(mode="json", exclude_none=True) == gate
    assert type(found).model_validate(found.model_dump(mode="json", exclude_none=True)) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no mapping; a pipeline file starts with `version: 1`"),
        ("- a\n", "holds no mapping"),
        (HEAD + "seed: [1\n", "is not valid YAML, line"),
        (HEAD + "seed: 1\nseed: 2\n", "line 7: the key 'seed' is written twice"),
        (HEAD + "pretrain:\n  batch_size: 1\n  batch_size: 2\n", "line 8: the key 'batch_size' is written twice"),
        (HEAD.encode() + b"# caf\xe9\n", "is not UTF-8: byte"),
        (HEAD.encode() + b"seed: \x01\n", "is not valid YAML"),
        (HEAD + "? [a, b]\n: 1\n", "is not valid YAML, line 6"),
        (HEAD + "1: 2\n", "1: keys should be strings"),
        (HEAD + "base: &a {x: 1}\n<<: *a\n", "base: unknown"),
    ],
)
def test_what_is_no_pipeline_file_is_said_without_a_traceback(workspace, text, says):
    assert says in str(fault(workspace, text))


@pytest.mark.parametrize("name", ["My-Pipe", "2nd", "a b"])
def test_a_pipeline_has_a_name_that_every_store_can_hold(workspace, name):
    workspace.pipeline_file(name).write_text(HEAD)
    with pytest.raises(ConfigError, match=r"lower-case letters, digits and _"):
        load_pipeline(workspace, name)


def test_an_unknown_pipeline_is_named_with_its_neighbour(workspace):
    workspace.pipeline_file("demo").write_text(HEAD)
    (workspace.root / "pipelines" / "demo.contract.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"no pipeline 'dmeo'; did you mean 'demo'\? Known: demo$"):
        load_pipeline(workspace, "dmeo")


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("seed=3", lambda options: options.seed == 3),
        ("pretrain.learning_rate=5e-4", lambda options: options.pretrain.learning_rate == 5e-4),
        ("pretrain.dropout=true", lambda options: options.pretrain.dropout is True),
        ("task.text=body = text", lambda options: options.task.text == "body = text"),
        ("task.text=body", lambda options: options.corpus_column == "body"),
        ("data.corpus_text=body", lambda options: (options.corpus_column, options.task.text) == ("body", "text")),
        ("gates.1.at_least=0.25", lambda options: options.gates[1].at_least == 0.25),
        ("gates=[{beats: tfidf}]", lambda options: [getattr(gate, gate.gate) for gate in options.gates] == ["tfidf"]),
        ("split={test: 0.5}", lambda options: options.split.test == 0.5),
    ],
)
def test_set_replaces_one_key(workspace, assignment, read):
    text = HEAD + "gates:\n- beats: champion\n- at_least: 0.5\n"
    assert not read(load(workspace, text))
    assert read(load(workspace, text, assignment))


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("seed", "write key=value"),
        ("=3", "write key=value"),
        ("base_model.size=3", "--set base_model.size: base_model is a value, it has no keys"),
        ("gates.2.beats=tfidf", "'2' is not an index of a list of 1 entries"),
        ("gates.-1.beats=tfidf", "'-1' is not an index of a list of 1 entries"),
        ("gates.first=3", "'first' is not an index of a list of 1 entries"),
        ("pretrain.stpes=3", "pretrain.stpes: unknown"),
        ("finetune.epochs=", "finetune.epochs: input should be a valid integer"),
    ],
)
def test_a_set_that_fits_nothing_is_refused(workspace, assignment, says):
    assert says in str(fault(workspace, HEAD + "gates:\n- beats: champion\n", assignment))


def test_a_later_set_wins(workspace):
    assert load(workspace, HEAD, "seed=3", "seed=4").seed == 4


# --- the resolved file -------------------------------------------------------------------------------------------


def test_the_resolved_file_holds_a_whole_section_for_every_step_that_is_asked_for(tiny):
    values, options = resolve(tiny, "tiny"), load_pipeline(tiny, "tiny")
    asked = composition.steps_of(composition.steps(tiny), options)
    assert [step.name for step in asked] == [key for key in values if kind_of(key) in {step.name for step in composition.steps(tiny)}]
    assert [step.name for step in composition.steps_in(tiny, values)] == [step.name for step in asked]
    for step in asked:
        # A field that came later is left out where it is not used, so that pipelines without it keep their fingerprints.
        later = {name for name, field in step.config.model_fields.items() if field.exclude_if is not None}
        assert set(values[step.name]) | later == set(step.config.model_fields), step.name
    assert values["pretrain"]["pretrain"]["mask_probability"] == 0.15


def test_rendering_twice_gives_the_same_bytes_and_leaves_the_file_alone(tiny):
    path = tiny.resolved_file("tiny")
    before = path.stat().st_mtime_ns
    assert render(resolve(tiny, "tiny")) == path.read_text()
    write_resolved(tiny, "tiny")
    assert path.stat().st_mtime_ns == before


def test_only_the_sections_that_read_a_key_change_with_it(tiny):
    before = resolve(tiny, "tiny")
    changed = {
        assignment: {name for name, section in resolve(tiny, "tiny", [assignment]).items() if section != before[name]}
        for assignment in ("finetune.epochs=3", "pretrain.batch_size=4", "gates=[{beats: tfidf}]", "split.test=0.3")
    }
    assert changed["finetune.epochs=3"] == {"finetune-base", "finetune-adapted"}
    assert changed["pretrain.batch_size=4"] == {"pretrain"}
    assert changed["gates=[{beats: tfidf}]"] == {"gates"}
    assert changed["split.test=0.3"] == {"contract", "splits", "corpus"}


def test_another_base_model_under_the_same_name_shows(tiny):
    before = resolve(tiny, "tiny")
    vocabulary = tiny.root / "models" / "tiny" / "tokenizer_config.json"
    vocabulary.write_text(vocabulary.read_text().replace("64", "48"))
    after = resolve(tiny, "tiny")
    assert before["finetune-base"]["base_digest"] != after["finetune-base"]["base_digest"]
    assert before["finetune-adapted"] == after["finetune-adapted"]


def positions(tiny: Workspace, most: int) -> None:
    """The base model reads ``most`` tokens."""
    path = tiny.root / "models" / "tiny" / "config.json"
    path.write_text(path.read_text().replace('"max_position_embeddings": 64', f'"max_position_embeddings": {most}'))


def written(tiny: Workspace, pretrain: str, finetune: str) -> None:
    """The pipeline file of 5 lines, its data those of the tiny one, and two sections."""
    head = HEAD.replace("models/m", "models/tiny").replace("c.txt", "data/corpus.jsonl").replace("l.csv", "data/rows.jsonl")
    tiny.pipeline_file("tiny").write_text(head + pretrain + finetune)


@pytest.mark.parametrize(
    ("pretrain", "finetune", "expected"),
    [
        ("pretrain:\n  sequence_length: 48\n", "finetune:\n  max_length: 48\n", []),
        ("pretrain:\n  sequence_length: 48\n", "finetune:\n  epochs: 1\n  max_length: 49\n", [
            (10, "finetune.max_length", 49, "is 49, but", "edit pipelines/tiny.yaml, line 10: finetune: {max_length: 48}"),
        ]),
        ("pretrain:\n  batch_size: 8\n", "finetune:\n  max_length: 48\n", [
            (6, "pretrain.sequence_length", 128, "is 128, the default, but",
             "edit pipelines/tiny.yaml, line 6: pretrain: {sequence_length: 48}"),
        ]),
        ("", "", [
            (None, "pretrain.sequence_length", 128, "is 128, the default, but",
             "edit pipelines/tiny.yaml: pretrain: {sequence_length: 48}"),
        ]),
    ],
)  # fmt: skip
def test_every_length_beyond_the_base_models_positions_is_told_with_its_line_and_the_most_it_may_be(tiny, pretrain, finetune, expected):
    positions(tiny, 48)
    written(tiny, pretrain, finetune)
    if not expected:
        assert resolve(tiny, "tiny")["finetune-base"]["finetune"]["max_length"] == 48
        return
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    for problem, (row, column, value, says, fix) in zip(refused.value.problems, expected, strict=True):
        assert problem["message"] == f"{column} {says} the base model models/tiny reads at most 48 tokens"
        assert (problem["file"], problem["row"], problem["column"]) == ("pipelines/tiny.yaml", row, column)
        assert (problem["value"], problem["fix"]) == (value, fix)


def test_a_length_that_was_set_is_blamed_on_set_and_its_value_counts(tiny):
    with pytest.raises(ConfigError, match=r"^--set finetune\.max_length=65: 1 fault") as refused:
        resolve(tiny, "tiny", ["finetune.max_length=65"])
    assert refused.value.problems[0]["file"] == "--set finetune.max_length=65"
    assert resolve(tiny, "tiny", ["finetune.max_length=64", "pretrain.sequence_length=64"])["tokens"]["sequence_length"] == 64


def test_a_base_model_too_short_for_any_length_is_told_to_be_another(tiny):
    positions(tiny, 12)
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    assert [problem["fix"].partition(": ")[2] for problem in refused.value.problems] == [
        "a base_model that reads 16 tokens or more",
        "finetune: {max_length: 12}",
    ]


def test_a_length_of_a_candidate_is_held_against_the_base_model_at_its_own_line(tiny):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + "candidates:\n  short: {}\n  long:\n    finetune:\n      max_length: 65\n")
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    (problem,) = refused.value.problems
    assert problem["message"] == "candidates.long.finetune.max_length is 65, but the base model models/tiny reads at most 64 tokens"
    assert path.read_text().splitlines()[problem["row"] - 1] == "      max_length: 65"
    assert problem["fix"].endswith(": candidates.long.finetune: {max_length: 64}")


def test_a_length_that_no_step_reads_is_no_fault(tiny):
    positions(tiny, 16)
    assert "tokens" not in resolve(tiny, "tiny", ["adapt=never"])


def test_a_contract_that_is_named_has_to_exist(tiny):
    with pytest.raises(ConfigError, match=r"data\.contract: no/such\.yaml is not there"):
        resolve(tiny, "tiny", ["data.contract=no/such.yaml"])


def test_a_corpus_of_fewer_bytes_than_a_sequence_has_tokens_is_refused_before_anything_runs(tiny):
    (tiny.root / "data" / "little.txt").write_text("one word\n")
    values = resolve(tiny, "tiny", ["data.corpus=data/little.txt"])
    with pytest.raises(DataRejected, match="do not fill one training sequence of 32 tokens") as refused:
        precheck.look(tiny.root, values)
    assert [(each["column"], each["rule"]) for each in refused.value.problems] == [("data.corpus", "corpus.length")]
    assert "adapt: never" in refused.value.problems[0]["fix"]
    precheck.look(tiny.root, resolve(tiny, "tiny", ["data.corpus=data/little.txt", "adapt=never"]))
