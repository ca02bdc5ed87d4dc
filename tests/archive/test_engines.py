"""What works on a partition, in other engines than Dask, where they are installed."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ser_edge import Classifier
from ser_edge.archive.worker import Worker

pyarrow = pytest.importorskip("pyarrow", reason="NO ARROW TESTED: there is no pyarrow")

FILES = [str(Path(__file__).parents[1] / "data" / "synthetic.wav"), "none.wav"]

pytestmark = pytest.mark.slow


def check(rows: list[dict[str, Any]], classifier: Classifier) -> None:
    expected = classifier.classify(FILES[0]).rounded()
    found = {row["file"]: row for row in rows}
    assert len(rows) == 2
    assert {label: found[FILES[0]][label] for label in classifier.labels} == expected.scores
    assert found["none.wav"]["error"] == "none.wav: No such file or directory"


def test_batches(classifier: Classifier) -> None:
    """As the engines call it: with batches of names, after pickling."""
    import pickle

    from ser_edge.archive import classify_batches

    worker = pickle.loads(pickle.dumps(Worker(classifier)))
    assert worker.settings == Worker(classifier).settings
    batches = [pyarrow.record_batch({"file": [name]}) for name in FILES]
    found = list(classify_batches(worker, batches))
    check([row for batch in found for row in batch.to_pylist()], classifier)


def test_spark(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="NO SPARK TESTED: there is no pyspark")
    from ser_edge.archive import classify_batches
    from ser_edge.archive.arrow import spark_schema

    pytest.importorskip("pandas", reason="NO SPARK TESTED: its Arrow functions need pandas")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    try:
        worker = Worker(classifier)
        files = spark.createDataFrame([(name,) for name in FILES], "file string")
        results = files.mapInArrow(
            functools.partial(classify_batches, worker), spark_schema(classifier.labels)
        )
        check([row.asDict() for row in results.collect()], classifier)
    finally:
        spark.stop()
