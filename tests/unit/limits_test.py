"""What a machine refuses, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from regraft.core.limits import explain, out_of_memory
from regraft.core.owners import told

ME = os.geteuid()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_refusal_for_want_of_rights_names_the_owner_and_the_command(number, tmp_path):
    path = tmp_path / "state" / "latest" / ".demo.json.x1"  # what was to be made is not there
    fault = explain(PermissionError(number, os.strerror(number), str(path)), "the run", tmp_path)
    assert fault is not None
    assert str(fault) == f"the run: {os.strerror(number)} ({path}): {tmp_path} is this user's own, without the right to write"
    assert (fault.exit_code, fault.fix) == (8, f"chmod -R u+rwX {tmp_path}")


@pytest.mark.skipif(ME != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_theirs(tmp_path):
    (path := tmp_path / "a b").touch()
    os.chown(path, 12345, -1)
    assert told(path) == (f"{path} belongs to uid 12345, and this is root", f"sudo chown -R 0 '{path}'")


def test_a_refusal_without_a_file_stays_what_it_was():
    assert explain(PermissionError(errno.EPERM, "Operation not permitted"), "the run", Path("/")) is None


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.80 GiB", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`", False),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_a_gpu_that_is_full_is_told_from_one_that_failed(words, memory):
    assert out_of_memory(RuntimeError(words)) is memory
