"""A pipeline file that says nothing of decoders keeps one trained, once its base model is one."""

from __future__ import annotations

import shutil

import pytest
import tiny_models
from workbench import regraft

from regraft.core import files


@pytest.mark.release("integration/decoder_test.py plans it; integration/architectures_test.py trains and serves gpt2")
def test_a_pipeline_whose_base_model_is_a_decoder_runs_from_contract_to_verdict(tiny):
    shutil.rmtree(tiny.root / "models" / "tiny")
    tiny_models.make(tiny.root / "models" / "tiny", "llama")
    done = regraft(tiny.root, "run", "tiny")
    assert done.returncode in (4, 5), done.stdout + done.stderr  # random weights: TF-IDF is better
    records = {path.parent.name: files.read_json(path) for path in (tiny.root / "artifacts" / "tiny").glob("*/record.json")}
    assert records["pretrain"]["params"]["pretrain"]["objective"] == "clm"
    assert {records[f"finetune-{name}"]["params"]["finetune"]["method"] for name in ("base", "adapted")} == {"lora"}
    again = regraft(tiny.root, "run", "tiny", "--json")
    assert again.returncode == 0, again.stdout + again.stderr  # nothing to do
