"""Methods made of other candidates: `ensemble`, `soup`, `self_training`; what they leave, and what the pipeline file may say of them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from tinyspace import TOPICS, tiny_table
from workbench import module_of

from regraft.core import files
from regraft.core.errors import ConfigError
from regraft.core.progress import Running, running
from regraft.data.tables import write_documents
from regraft.execution import composition, dvc
from regraft.execution.resolve import resolve
from regraft.models import kinds
from regraft.registry.artifact import refuse_unsafe, travelling
from regraft.training.finetuning import finetune
from regraft.training.options import finetune_options

LABELS = ["garden", "harbour", "kitchen"]


@pytest.fixture(scope="module")
def rows():
    return tiny_table("dev", "train", "train", "train")


def train(source, rows, out, method, models=None, documents=None, **own):
    shared = {"batch_size": 16, "max_length": 16, "epochs": 3, "learning_rate": 3e-3}
    with running(Running(pipeline="tiny")):
        options = finetune_options(shared, {"method": method, **own})
        more = {"models": models or {}, "documents": documents}
        return finetune(source, rows, LABELS, options, name="finetune", text_column="text", seed=17, out=out, **more)


@pytest.fixture(scope="module")
def trained(base, rows, tmp_path_factory):
    """Candidate -> folder of its model."""
    home = tmp_path_factory.mktemp("candidates")
    train(base, rows, home / "base", "full")
    train(base, rows, home / "longer", "full", epochs=5)
    train(base, rows, home / "probe", "linear_probe")
    train(None, rows, home / "words", "tfidf")
    return {folder.name: folder for folder in home.iterdir()}


def test_an_ensemble_answers_with_the_mean_of_its_members_wherever_its_folder_lies(trained, rows, tmp_path):
    of = ["base", "probe", "words"]
    assert train(None, rows, tmp_path / "model", "ensemble", trained, of=of)["members"] == 3
    served, texts = kinds.load(tmp_path / "model"), rows["text"].tolist()[:30]
    mean = np.mean([kinds.load(trained[name]).predict(texts) for name in of], axis=0)
    np.testing.assert_allclose(served.model.probabilities(served.logits(texts)), mean, atol=1e-5)
    refuse_unsafe(tmp_path / "model")

    modules = travelling(tmp_path / "model")  # as in production: the files alone, in one folder
    assert set(modules) == {"served", "kind", "kind_embedding_head", "kind_sequence_classification", "kind_tfidf"}
    (tmp_path / "alone").mkdir()
    for path in modules.values():
        shutil.copy(path, tmp_path / "alone")
    alone = module_of(tmp_path / "alone" / "served.py").load(tmp_path / "model", module_of(tmp_path / "alone" / "ensemble.py"))
    assert (alone.predict(texts) == served.predict(texts)).all()


def test_a_soup_is_the_mean_of_the_weights_and_leaves_out_who_spoils_it(trained, rows, tmp_path):
    from safetensors.numpy import load_file, save_file

    metrics = train(None, rows, tmp_path / "all", "soup", trained, of=["base", "longer"], ingredients="all")
    assert metrics["members"] == 2
    first, second, mean = (load_file(folder / "model.safetensors") for folder in (trained["base"], trained["longer"], tmp_path / "all"))
    for name, value in mean.items():
        np.testing.assert_allclose(value, (first[name] + second[name]) / 2, atol=1e-6)
    assert kinds.kind_of(tmp_path / "all") == "sequence_classification"
    assert files.read_json(tmp_path / "all/serving.json") == files.read_json(trained["base"] / "serving.json")

    shutil.copytree(trained["base"], tmp_path / "spoilt")
    save_file({name: -value for name, value in first.items()}, tmp_path / "spoilt/model.safetensors", metadata={"format": "pt"})
    others = {**trained, "spoilt": tmp_path / "spoilt"}
    metrics = train(None, rows, tmp_path / "greedy", "soup", others, of=["spoilt", "longer"])
    assert metrics["members"] == 1
    alone = load_file(tmp_path / "greedy/model.safetensors")
    assert all((alone[name] == second[name]).all() for name in second)
    with pytest.raises(ConfigError, match="probe has other weights than base"):
        train(None, rows, tmp_path / "none", "soup", trained, of=["base", "probe"])


def test_a_student_learns_from_what_its_teacher_is_sure_of_and_from_nothing_else(trained, rows, base, tmp_path):
    texts = [f"{' '.join(TOPICS[label][n : n + 4])} we find" for label in LABELS for n in range(10)]
    write_documents(tmp_path / "documents.parquet", [(text, False) for text in texts])
    own = {"teacher": "words", "documents": tmp_path / "documents.parquet", "most_of_a_class": 5, "models": trained}
    metrics = train(base, rows, tmp_path / "model", "self_training", confidence=0.5, **own)
    assert (metrics["documents"], metrics["pseudo_labelled"]) == (30, 15)
    assert metrics["rows"] == (rows["split"] == "train").sum()
    assert metrics["steps"] == 3 * -(-(90 + 15) // 16)
    unsure = train(base, rows, tmp_path / "unsure", "self_training", confidence=0.9999, **own)
    assert unsure["pseudo_labelled"] == 0
    assert files.tree(tmp_path / "unsure") == files.tree(trained["base"]), "no document is trained on, so it is its control"


CANDIDATES = """candidates:
  base: {start: base}
  longer: {finetune: {epochs: 5}}
  student: {finetune: {method: self_training, teacher: base}}
  mean: {finetune: {method: soup, of: [base, longer]}}
  together: {finetune: {method: ensemble, of: [base, mean]}}
"""


def test_what_is_made_of_others_reads_their_models_and_the_corpus_where_one_labels_it(tiny):
    path = tiny.pipeline_file("tiny")
    plain = path.read_text()
    path.write_text(plain + CANDIDATES)
    values, stages = resolve(tiny, "tiny"), yaml.safe_load(dvc.render_dvc(tiny))["stages"]
    assert "corpus" in values
    assert "pretrain" not in values
    assert [step.name for step in composition.steps_in(tiny, values) if step.kind == "finetune"][-1] == "finetune-together"
    model, documents = "artifacts/${key}/finetune-%s/out/model", "artifacts/${key}/corpus/out/documents.parquet"
    assert {model % "base", documents} <= set(stages["finetune-student"]["do"]["deps"])
    assert {model % "base", model % "mean"} <= set(stages["finetune-together"]["do"]["deps"])
    assert stages["finetune-base"]["do"]["deps"] == stages["finetune-longer"]["do"]["deps"]
    path.write_text(plain + "candidates:\n  base: {start: base}\n")
    assert resolve(tiny, "tiny")["finetune-base"] == values["finetune-base"], "who is made of it changes nothing of its identity"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  a: {finetune: {method: ensemble, of: [b, base]}}\n  b: {}\n", "candidates.a.finetune.of: no candidate 'b' stands above it"),
        ("  a: {finetune: {method: ensemble, of: [base]}}\n", "candidates.a.finetune.of: "),
        ("  a: {finetune: {method: ensemble}}\n", "candidates.a.finetune.of: missing"),
        ("  p: {finetune: {method: prototype}}\n  a: {finetune: {method: soup, of: [base, p]}}\n", "p is no fine-tuned classifier"),
        (
            "  p: {start: adapted}\n  a: {finetune: {method: soup, of: [base, p]}}\n",
            "base from base and p from adapted; write `method: ens",
        ),
        ("  p: {withhold: {below_labels: 4}}\n  a: {finetune: {method: ensemble, of: [base, p]}}\n", "p may be withheld (`withhold`)"),
        ("  a: {finetune: {method: self_training, teacher: bsae}}\n", "candidates.a.finetune.teacher: no candidate 'bsae' stands above it"),
        ("  a: {finetune: {method: ensemble, of: [base, base]}}\n", "`of` names base more than once"),
    ],
)
def test_parts_that_cannot_be_are_faults_of_the_file(tiny, text, message):
    path = tiny.pipeline_file("tiny")
    path.write_text(path.read_text() + "candidates:\n  base: {}\n" + text)
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adapt: never\nfinetune: {method: self_training, teacher: base}\n", "self_training is made of other candidates; write it as"),
        (CANDIDATES + "gates:\n- seeds: 3\n- {metric: accuracy, at_least: 0.1}\n", "the gate `seeds` trains each again by itself"),
        (CANDIDATES + "gates:\n- forgetting: {max_loss_increase: 1}\n", "together: ensemble has no encoder of its own, and the gate `forg"),
        (
            "adapt: never\ncandidates:\n  words: {finetune: {method: tfidf}}\ngates:\n- forgetting: {max_loss_increase: 1}\n",
            "words: tfidf has no encoder of its own, and the gate `forgetting` asks for one",
        ),
        ("finetune: {method: auto}\ngates:\n- forgetting: {max_loss_increase: 1}\n", "write the list of `auto` out without it, or take"),
        (CANDIDATES + "task: {text_pair: other}\n", "student: self_training labels documents, which are no pairs, and task.text_pair"),
    ],
)
def test_what_the_rest_of_the_file_asks_of_them_and_they_cannot_give_is_a_fault_too(tiny, text, message):
    path = tiny.pipeline_file("tiny")
    document = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key not in yaml.safe_load(text)}
    path.write_text(yaml.safe_dump(document, sort_keys=False) + text)
    with pytest.raises(ConfigError) as refused:
        resolve(tiny, "tiny")
    assert message in str(refused.value)
