"""Dev clips drawn by speaker, and by clip where nobody knows the speakers."""

from __future__ import annotations

from ser_edge.convert.corpus.splitting import Row, dev_rows, dev_speakers


def test_a_share_of_the_speakers() -> None:
    names = [f"s{number}" for number in range(10)]
    assert len(dev_speakers(names, 0.2, seed=1)) == 2
    assert dev_speakers(names, 0.2, seed=1) == dev_speakers(names, 0.2, seed=1)
    assert len(dev_speakers(names[:2], 0.1, seed=1)) == 1
    assert dev_speakers(names[:1], 0.2, seed=1) == set()
    assert dev_speakers(names, 0.0, seed=1) == set()


def test_no_speaker_is_on_both_sides_and_no_label_is_lost() -> None:
    """One speaker alone has a label: it is never drawn."""
    rows = [Row("a", f"s{number}", label) for number in range(5) for label in ("sad", "happy")]
    rows += [Row("a", "s3", "bored")] * 3
    chosen = {rows[place].speaker for place in dev_rows(rows)}
    assert len(chosen) == 1
    assert chosen != {"s3"}
    left = [row for place, row in enumerate(rows) if place not in dev_rows(rows)]
    assert {row.label for row in left} == {"sad", "happy", "bored"}


def test_unknown_speakers_are_parted_by_clip() -> None:
    for speaker in ("", "anna"):
        rows = [Row("a", speaker, label) for label in ("sad", "happy") for _ in range(10)]
        chosen = dev_rows(rows)
        assert [rows[place].label for place in sorted(chosen)] == ["sad"] * 2 + ["happy"] * 2
    assert dev_rows([Row("a", "", "sad")]) == set()


def test_each_corpus_on_its_own() -> None:
    rows = [Row(corpus, f"s{n}", "sad") for corpus in ("a", "b") for n in range(5)]
    assert {rows[place].corpus for place in dev_rows(rows)} == {"a", "b"}
