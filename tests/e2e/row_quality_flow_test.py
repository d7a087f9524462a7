"""Gates on clean rows, and flips on suspect labels, through the real flow: what was read before the test decides the run."""

from __future__ import annotations

import pytest
import yaml
from everything import CLEAN, FLIPS, configure

from regraft.core import files


def test_only_a_pipeline_that_asks_has_the_steps(tiny_template, everything):
    assert not {"overlap", "suspects"} & set(yaml.safe_load((tiny_template / "dvc.yaml").read_text())["stages"])
    assert {"overlap", "suspects"} <= set(yaml.safe_load((everything.root / "dvc.yaml").read_text())["stages"])


def test_a_row_that_was_read_before_the_test_does_not_decide(everything, ask):
    (sentence,) = (finding["sentence"] for finding in everything.findings("at_least") if "overlap" in finding["sentence"])
    assert "accuracy on 30 test rows" in sentence
    assert "of all 31 test rows 1 overlaps with training texts (1 word for word in the training rows), and on all" in sentence
    told = ask(everything.root, "report", "tiny", "--json").json["doubts"]
    assert (told["clean"], told["overlapping"][0]["kind"], told["overlapping"][0]["share"]) == (30, "exact", 1.0)
    assert told["overlapping"][0]["of"].startswith("longer-")
    assert told["suspects_found"] == everything.record("suspects")["metrics"]["suspects"]


def test_clean_rows_refuse_a_model_and_the_verdict_is_rebuilt(refused, ask):
    assert refused.result["outcome"] == "fail"
    (clean,) = (finding for finding in refused.findings("at_least") if finding["threshold"] == 0.99)
    assert clean["outcome"] == "fail"
    assert "below the floor of 0.990" in clean["sentence"]
    assert "; of all 31 test rows 1 overlaps" in clean["sentence"]
    story = ask(refused.root, "explain", "tiny").out
    assert story.endswith("The verdict was rebuilt from the stored predictions, byte for byte.\n")
    (listed,) = (path for path in refused.root.rglob("negative_flips.csv") if "mlartifacts" in str(path))
    assert listed.read_text() == "id,label,champion,candidate,suspect,suggested\n", "champion and candidate are the same model"


@pytest.mark.parametrize(
    ("gates", "steps", "says"),
    [
        ([{**CLEAN, "rows": "dirty"}], True, "gates.0.rows: input should be 'clean', not 'dirty' (line"),
        ([{"slices": ["label"], "non_inferior_by": 0.1, "rows": "clean"}], True, "`rows` and `slices` exclude each other"),
        ([{**FLIPS, "rows": "clean"}], True, "`negative_flips` does not read `rows`; take it out"),
        ([CLEAN], False, "gates.0.rows needs the step 'overlap', which STEPS in pipelines/__init__.py does not have (line"),
    ],
)
def test_what_cannot_be_asked_is_a_fault_of_the_file(gates, steps, says, tiny, cli):
    configure(tiny.root, gates=gates)
    if not steps:
        path = tiny.root / "pipelines" / "__init__.py"
        files.write_text(path, path.read_text().replace("OVERLAP, SUSPECTS, ", ""))
    said = cli("plan", "tiny")
    assert (said.code, "Traceback" in said.err) == (2, False)
    assert says in " ".join(said.err.split())
