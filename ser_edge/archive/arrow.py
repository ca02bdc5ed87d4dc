"""Results as Apache Arrow knows them: record batches, and Parquet files of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from ser_edge.archive.table import OutputError, from_rows, rows
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.errors import DependencyError
from ser_edge.result import COLUMNS

_BATCH_ROWS = 16_384
_NUMBERS = ("start", "end", "confidence")


def import_pyarrow() -> Any:
    """Load pyarrow.

    Raises:
        DependencyError: it is missing, or does not fit numpy.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyError(
            "Parquet needs pyarrow: pip install 'ser-edge[archive]', or with numpy 1: "
            f"pip install 'pyarrow<25' ({error})"
        ) from None
    return pyarrow


def schema(labels: Sequence[str], origin: dict[str, str]) -> Any:
    """The columns of results: file, start, end, label, confidence, reason, labels, error.

    Args:
        labels: of the model; one that is called as another column gets ``_score`` behind it.
        origin: goes into the metadata, each key with ``ser_edge.`` before it.

    Returns:
        A ``pyarrow.Schema``.
    """
    pyarrow = import_pyarrow()
    fixed = {"file", *COLUMNS, "error"}
    scores = [f"{label}_score" if label in fixed else label for label in labels]
    fields = [("file", pyarrow.string())]
    fields += [
        (name, pyarrow.float64() if name in _NUMBERS else pyarrow.string()) for name in COLUMNS
    ]
    fields += [(name, pyarrow.float64()) for name in scores]
    fields += [("error", pyarrow.string())]
    metadata = {f"ser_edge.{key}": text(value) for key, value in origin.items()}
    return pyarrow.schema(fields, metadata=metadata)


def spark_schema(labels: Sequence[str]) -> str:
    """The columns of :func:`schema`, as Spark's ``mapInArrow`` wants to be told them.

    Example:
        >>> spark_schema(["happy"])[:36]
        '`file` string, `start` double, `end`'
    """
    return ", ".join(f"`{field.name}` {field.type}" for field in schema(labels, {}))


def text(name: str) -> str:
    """A name as UTF-8 can hold it: bytes that are no text as escapes.

    Example:
        >>> text("caf\\udce9.wav")
        'caf\\\\xe9.wav'
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name


def batches(
    outcomes: Iterable[Outcome], labels: Sequence[str], origin: dict[str, str]
) -> Iterator[Any]:
    """Outcomes as record batches of :func:`schema`, lazily.

    Yields:
        ``pyarrow.RecordBatch`` of at most 16384 rows.
    """
    pyarrow = import_pyarrow()
    columns = schema(labels, origin)
    table = chain.from_iterable(rows(outcome, labels) for outcome in outcomes)
    while some := list(islice(table, _BATCH_ROWS)):
        yield pyarrow.RecordBatch.from_arrays(
            [
                pyarrow.array(
                    [text(v) if isinstance(v, str) else v for v in values], type=field.type
                )
                for values, field in zip(zip(*some), columns)
            ],
            schema=columns,
        )


def classify_batches(worker: Worker, batches_: Iterable[Any]) -> Iterator[Any]:
    """Classify the files that record batches name, lazily: what Spark's ``mapInArrow`` wants.

    Args:
        worker: classifies them.
        batches_: ``pyarrow.RecordBatch``, each with a column ``file``.

    Yields:
        ``pyarrow.RecordBatch`` with the columns of :func:`schema`.

    Example:
        >>> import pyarrow
        >>> from ser_edge import Classifier
        >>> names = pyarrow.record_batch({"file": ["tests/data/synthetic.wav", "none.wav"]})
        >>> for batch in classify_batches(Worker(Classifier.bundled()), [names]):
        ...     print(batch.column("error").to_pylist())
        [None, 'none.wav: No such file or directory']
    """
    files = chain.from_iterable(batch.column("file").to_pylist() for batch in batches_)
    return batches(map(worker.outcome, files), worker.classifier.labels, worker.origin)


class Parquet:
    """A Parquet file; its metadata tell the model."""

    def __init__(self, labels: Sequence[str], origin: dict[str, str]) -> None:
        self._labels = labels
        self._origin = origin
        self._schema = schema(labels, origin)

    def name(self, file: str) -> str:
        return text(file)

    def write(self, path: str, outcomes: Iterable[Outcome]) -> None:
        parquet = import_pyarrow().parquet
        with parquet.ParquetWriter(path, self._schema, compression="zstd") as writer:
            for batch in batches(outcomes, self._labels, self._origin):
                writer.write_batch(batch)

    def read(self, path: str) -> Iterator[Outcome]:
        pyarrow = import_pyarrow()
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise OutputError(f"{path}: is no Parquet file ({error})") from None
        with file:
            if not file.schema_arrow.equals(self._schema, check_metadata=False):
                raise OutputError(f"{path}: has other columns than results of this model")
            for key, value in self._schema.metadata.items():
                if (file.schema_arrow.metadata or {}).get(key) != value:
                    raise OutputError(
                        f"{path}: is of another {key.decode()[9:]} than {value.decode()}"
                    )
            table = (
                row
                for batch in file.iter_batches(_BATCH_ROWS)
                for row in zip(*(column.to_pylist() for column in batch.columns))
            )
            yield from from_rows(table, self._labels)
