"""OpenBLAS runs with kernels that suit the CPU, also one that is newer than the library."""

import ast
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import alignheads
from alignheads.runtime.models.cpu import openblas
from alignheads.runtime.models.cpu.openblas import (
    ADVICE,
    cpu_flags,
    kernels_for,
    one_thread,
    suit_threads,
)

AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
SCRIPT = """
import os
import importlib.util
from pathlib import Path
import alignheads
# The file alone: its package would load the BLAS before the test has its say.
path = Path(alignheads.__file__).parent / "runtime/models/cpu/openblas.py"
spec = importlib.util.spec_from_file_location("openblas", path)
openblas = importlib.util.module_from_spec(spec)
spec.loader.exec_module(openblas)
{before}
print(openblas.prefer_openblas(), openblas.core_of(openblas._loaded()[1]) or "unnamed",
      os.environ.get("OPENBLAS_CORETYPE"))
from alignheads.runtime.models.backend import mx
import numpy as np
a = mx.random.normal((300, 200))
assert np.allclose(np.array(a @ a.T), np.array(a) @ np.array(a).T, atol=1e-3)
"""


def loaded(before="", **environment):
    """How it went, the core whose kernels are used, and what the environment holds after it."""
    outer = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        env={**outer, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    if done.stdout.startswith(("missing", "not needed")) or "NoneType" in done.stderr:
        pytest.skip("no OpenBLAS to load")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_best_kernels_that_a_cpu_has_all_of_are_taken():
    assert kernels_for({"sse3", "avx2", "fma"} | AVX512) == "SkylakeX"
    assert kernels_for({"avx2", "fma"} | AVX512 - {"avx512vl"}) == "Haswell"
    assert kernels_for({"sse3", "avx", "avx2"}) is None
    assert kernels_for(set()) is None


def test_the_room_of_the_models_is_ready_before_mlx_is_imported():
    """Whichever of its modules comes first; after MLX it is too late, and the advice is right."""
    room = "alignheads.runtime.models"
    what = f"from {room}.cpu.openblas import prefer_openblas as how; print(how())"

    def said(first):
        done = subprocess.run(
            [sys.executable, "-c", f"import {first}; import mlx.core; {what}"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    late = said("numpy")
    if late == "not needed":
        pytest.skip("no OpenBLAS to load")
    assert late == "late"
    assert f"import {room} first" in ADVICE["late"]
    for first in (room, f"{room}.backend", f"{room}.qwen3.model"):
        assert said(first) in ("used", "missing")


@pytest.mark.skipif("avx2" not in cpu_flags(), reason="an x86 CPU with AVX2")
def test_no_cpu_of_today_gets_the_kernels_of_2004():
    how, core, left = loaded()
    assert (how, left) == ("used", "None")
    assert core != "Prescott"


@pytest.mark.skipif(not {"avx2", "fma"} <= cpu_flags(), reason="an x86 CPU with AVX2")
def test_a_library_that_does_not_know_the_cpu_is_loaded_anew_for_it():
    usual = loaded()[1]
    other = "Nehalem"  # as if the library had taken its usual one for want of a better
    assert usual != other
    before = f"openblas._OLDEST, openblas._KERNELS = {usual!r}, (({other!r}, set()),)"
    if usual != (loaded("openblas._OLDEST = ''"))[1]:
        # This CPU is such a one: what the library takes first is Prescott.
        before = f"openblas._KERNELS = (({other!r}, set()),)"
    assert loaded(before) == ["used", other, "None"]


@pytest.mark.skipif(not {"avx2", "fma"} <= cpu_flags(), reason="an x86 CPU with AVX2")
def test_kernels_that_the_environment_asks_for_stay():
    assert loaded(OPENBLAS_CORETYPE="Prescott") == ["used", "Prescott", "Prescott"]


ROOT = Path(alignheads.__file__).parent
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_import_the_models_before_mlx(path):
    """Only `runtime.models` loads OpenBLAS; MLX that comes before it runs on its own slow BLAS."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    mlx = [i for i, name in enumerate(names) if name.split(".")[0] in ("mlx", "mlx_qwen3_asr")]
    models = [i for i, name in enumerate(names) if name.startswith("alignheads.runtime.models")]
    assert not mlx or (models and models[0] < mlx[0])


@pytest.mark.skipif(openblas.prefer_openblas() != "used", reason="no OpenBLAS is loaded")
def test_a_small_model_gets_one_thread_and_others_all(monkeypatch):
    before = openblas.thread_count()
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    library = openblas._loaded()[1]
    try:
        for width, threads in ((256, 1), (384, library.openblas_get_num_procs()), (383, 1)):
            suit_threads(width)
            assert openblas.thread_count() == threads
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
        suit_threads(1024)  # whoever set it is heeded
        assert openblas.thread_count() == 1
    finally:
        library.openblas_set_num_threads(before)


class Counting:
    """An OpenBLAS that knows how many threads it has."""

    def __init__(self, cores):
        self.cores, self.count = cores, cores

    def openblas_get_num_procs(self):
        return self.cores

    def openblas_get_num_threads(self):
        return self.count

    def openblas_set_num_threads(self, count):
        self.count = count


def test_a_block_has_one_thread_and_others_the_usual_ones_after_it(monkeypatch):
    """Also where blocks overlap, and a model is loaded in the midst of them."""
    library = Counting(8)
    monkeypatch.setattr(openblas, "_loaded", lambda: ("used", library))
    monkeypatch.setattr(openblas, "_threads", openblas._Threads())
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    suit_threads(1024)
    first, second = one_thread(), one_thread()
    first.__enter__()
    second.__enter__()
    assert library.count == 1
    first.__exit__(None, None, None)
    assert library.count == 1
    second.__exit__(None, None, None)
    assert library.count == 8
    with contextlib.suppress(MemoryError), one_thread():
        suit_threads(128)  # of a small model
        raise MemoryError
    assert library.count == 1
    with one_thread():
        suit_threads(1024)
        assert library.count == 1
    assert library.count == 8


def test_without_openblas_there_are_no_threads_to_change(monkeypatch):
    monkeypatch.setattr(openblas, "_loaded", lambda: ("missing", None))
    with one_thread():
        pass
