"""``candidates`` of a pipeline file: what it makes of the steps, and how its faults are told."""

from __future__ import annotations

import pytest
import yaml
from tinyspace import imported

from regraft.config.candidates import Candidate
from regraft.config.pipeline_file import load_pipeline
from regraft.config.step_names import kind_of
from regraft.core.errors import ConfigError
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc
from regraft.execution.resolve import resolve

THREE = """candidates:
  base: {start: base}
  adapted: {start: adapted}
  probe: {finetune: {method: linear_probe}}
"""


def write(tiny: Workspace, text: str) -> int:
    """Put ``text`` behind the pipeline file; the number of lines before it."""
    path = tiny.pipeline_file("tiny")
    before = path.read_text()
    path.write_text(before + text)
    return len(before.splitlines())


def stages(tiny: Workspace) -> dict[str, object]:
    return dict(yaml.safe_load(dvc.render_dvc(tiny))["stages"])


def test_one_more_leaves_every_section_and_stage_of_the_others_as_it_was(tiny):
    before, of_before = resolve(tiny, "tiny"), stages(tiny)
    write(tiny, THREE)
    after, of_after = resolve(tiny, "tiny"), stages(tiny)
    assert set(after) - set(before) == {"by_cost", "finetune-probe", "score-probe"}
    assert {key: value for key, value in after.items() if key in before and key != "candidates"} == {
        key: value for key, value in before.items() if key != "candidates"
    }
    assert {name: of_after[name] for name in of_before} == of_before
    assert [step.name for step in composition.steps_in(tiny, after)][-3:] == ["score-base", "score-adapted", "score-probe"]


def test_the_cheapest_method_comes_first_and_then_the_order_of_the_file(tiny):
    write(tiny, THREE + "  long: {finetune: {epochs: 9}}\n")
    values = resolve(tiny, "tiny")
    assert values["by_cost"] == ["probe", "base", "adapted", "long"]
    assert values["finetune-long"]["finetune"]["epochs"] == 9
    assert values["finetune-long"]["finetune"]["batch_size"] == values["finetune-base"]["finetune"]["batch_size"] == 16
    assert "epochs" not in values["finetune-probe"]["finetune"], "what its method does not read is not inherited"


def test_without_a_candidate_that_starts_there_nothing_is_adapted(tiny):
    write(tiny, "adapt: never\n")
    values = resolve(tiny, "tiny")
    assert [key for key in values if kind_of(key) in ("tokens", "pretrain", "finetune", "score")] == ["finetune-base", "score-base"]


def without_corpus(tiny: Workspace, more: str = "") -> int:
    """Take ``data.corpus`` out of the pipeline file, put ``more`` behind it; the lines before that."""
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text().replace("  corpus: data/corpus.jsonl\n", ""))
    return write(tiny, more)


def test_without_a_corpus_the_steps_of_the_base_model_are_what_they_were(tiny):
    other = tiny.root / "pipelines" / "other.yaml"
    other.write_text(tiny.pipeline_file("tiny").read_text())
    before = resolve(tiny, "tiny", ["adapt=never"])
    without_corpus(tiny)
    values = resolve(tiny, "tiny")
    assert values == before
    assert [step.name for step in composition.steps_in(tiny, values)] == [
        *("contract", "splits", "finetune-base", "tfidf", "held_out", "score-base")
    ]
    with pytest.raises(ConfigError, match=r"data\.corpus_text names a column of data\.corpus, which is left out"):
        resolve(tiny, "tiny", ["data.corpus_text=body"])
    of_both = stages(tiny)
    assert list(of_both["corpus"]["foreach"]) == ["other"]
    assert of_both["splits"]["foreach"]["tiny"] == {"labelled": "data/rows.jsonl"}


def test_a_step_leaves_out_what_nothing_in_the_pipeline_makes(tiny):
    write(tiny, "gates:\n- {at_least: 0.1, rows: clean}\n")
    (adapting,) = (step for step in composition.steps_in(tiny, resolve(tiny, "tiny")) if step.name == "overlap")
    without_corpus(tiny)
    (plain,) = (step for step in composition.steps_in(tiny, resolve(tiny, "tiny")) if step.name == "overlap")
    assert adapting.sources.keys() - plain.sources.keys() == {"documents"}


def test_a_step_that_nothing_leaves_is_named_with_who_reads_it(tiny):
    path = tiny.root / "pipelines" / "__init__.py"
    path.write_text(path.read_text().replace("CONTRACT, SPLITS,", "CONTRACT,"))
    with imported(tiny.root), pytest.raises(ConfigError, match=r"'finetune-base' reads what 'splits' leaves, which STEPS in .* does not"):
        resolve(tiny, "tiny")


def test_two_pipelines_may_start_a_candidate_of_one_name_differently(tiny):
    (tiny.root / "pipelines" / "other.yaml").write_text(tiny.pipeline_file("tiny").read_text() + "candidates: {adapted: {start: base}}\n")
    stage = yaml.safe_load(dvc.render_dvc(tiny))["stages"]["finetune-adapted"]
    assert stage["do"]["deps"][0] == "${item.input_1}"
    places = {pipeline: item["input_1"] for pipeline, item in stage["foreach"].items()}
    assert places == {"tiny": "artifacts/tiny/pretrain/out/model", "other": "artifacts/other/contract/out/rows.parquet"}


@pytest.mark.parametrize(
    ("text", "row", "says"),
    [
        ("candidates: {}\n", 1, "candidates: write at least one"),
        ("candidates:\n  Base: {}\n", 2, "candidates.Base: a candidate is called by lower-case letters"),
        ("candidates:\n  tfidf: {}\n", 2, "candidates.tfidf: a candidate cannot be called 'tfidf'"),
        ("candidates:\n  a: {}\n  a: {}\n", 3, "the key 'a' is written twice"),
        ("candidates:\n  a: {strat: base}\n", 2, "candidates.a.strat: unknown; did you mean start?"),
        ("candidates:\n  a: {start: bas}\n", 2, "candidates.a.start: input should be 'base' or 'adapted', not 'bas'; did you mean 'base'?"),
        ("candidates:\n  a:\n    finetune:\n      epocs: 3\n", 4, "candidates.a.finetune.epocs: unknown; did you mean epochs?"),
        ("candidates:\n  a:\n    finetune: {method: lorra}\n", 3, "no method 'lorra'; did you mean 'lora'?"),
        ("candidates:\n  a:\n    finetune: {epochs: -1}\n", 3, "candidates.a.finetune.epochs: input should be greater than or equal to 1"),
        ("adapt: never\ncandidates:\n  a: {start: adapted}\n", 3, "`adapted` needs an adaptation, and `adapt: never` says"),
        ("candidates:\n  a: {}\nchoose_on: test\n", 3, "choose_on: `test` chooses between"),
        ("data: {labelled: r.csv}\nadapt: always\n", 2, "adapt: `always` needs text of the domain; name it as `data.corpus`"),
        (
            "data: {labelled: r.csv}\ncandidates:\n  a: {start: adapted}\n",
            3,
            "`adapted` needs an adaptation, and `data.corpus` is left out",
        ),
        ("data: {labelled: r.csv}\nchoose_on: test\n", 2, "choose_on: `test` chooses between"),
        ("candidates:\n  a: {withhold: {}}\n", 2, "candidates.a.withhold: write `below_labels: N`, `above_labels: N` or both"),
        ("candidates:\n  a: {withhold: {below_labels: 9, above_labels: 8}}\n", 2, "so it would never be trained"),
        ("candidates: {base: {withhold: {below_labels: 2}}, adapted: {start: adapted}}\nchoose_on: test\n", 2, "neither can be withheld"),
        ("adapt: off\n", 1, "adapt: input should be 'always' or 'never', not False"),
    ],
)
def test_a_fault_names_its_key_and_line(tiny, text, row, says):
    path = tiny.pipeline_file("tiny")
    if text.startswith("data:"):
        path.write_text("version: 1\nbase_model: models/tiny\n")
    before = write(tiny, text)
    with pytest.raises(ConfigError) as refused:
        load_pipeline(tiny, "tiny")
    assert says in str(refused.value)
    assert refused.value.problems[0]["row"] == before + row


@pytest.mark.parametrize(
    ("labels", "withheld"),
    [(7, {"below_labels"}), (8, set()), (64, set()), (65, {"above_labels"})],
)
def test_too_few_and_too_many_labels_withhold_a_candidate(labels, withheld):
    reason = Candidate("few", "base", withhold={"below_labels": 8, "above_labels": 64}).withheld(labels)
    assert ({reason["code"]} if reason else set()) == withheld


def test_auto_is_a_list_of_candidates_that_could_be_written_by_hand(tiny):
    path = tiny.pipeline_file("tiny")
    document = yaml.safe_load(path.read_text())
    plain = resolve(tiny, "tiny")
    path.write_text(yaml.safe_dump({**document, "finetune": {**document["finetune"], "method": "auto"}}))
    values = resolve(tiny, "tiny")
    assert values["by_cost"] == ["words", "means", "probe", "pairs", "base", "adapted"]
    assert {name: said["withhold"] for name, said in values["candidates"].items() if "withhold" in said} == {
        "means": {"above_labels": 16}, "pairs": {"above_labels": 64}, "base": {"below_labels": 8}, "adapted": {"below_labels": 8},
    }  # fmt: skip
    assert values["finetune-base"] == plain["finetune-base"], "what `full` trained stays"
    path.write_text(
        yaml.safe_dump({**document, "candidates": {name: _written(said) for name, said in values["candidates"].items()}}, sort_keys=False)
    )
    assert resolve(tiny, "tiny") == values
    path.write_text(yaml.safe_dump({**document, "finetune": {"method": "auto"}, "adapt": "never"}))
    assert "adapted" not in resolve(tiny, "tiny")["candidates"]


def _written(said: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in said.items() if value is not None}


def test_auto_beside_candidates_is_refused_with_both_keys(tiny):
    write(tiny, THREE)
    with pytest.raises(ConfigError, match=r"finetune\.method: `auto` is a list of candidates, and `candidates` names others"):
        load_pipeline(tiny, "tiny", ["finetune.method=auto"])
