"""Worker processes for the slow parts of training: features, encoder, fits of the teacher head."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Task = TypeVar("Task")
Value = TypeVar("Value")


def imap(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    jobs: int,
    initializer: Callable[..., None],
    initargs: tuple[Any, ...] = (),
    chunksize: int = 1,
) -> Iterator[Value]:
    """The function's values in the order of the tasks, from worker processes.

    Like ``multiprocessing.Pool.imap``, with a pool of its own.

    Args:
        function: of one task; a module's own, as it is pickled.
        tasks: its arguments.
        jobs: processes.
        initializer: called first in each of them.
        initargs: the initializer's arguments.
        chunksize: tasks handed out at once.
    """
    # Spawned, not forked: TensorFlow's threads may already run in this process.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=initializer, initargs=initargs) as workers:
        yield from workers.imap(function, tasks, chunksize=chunksize)
