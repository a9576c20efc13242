import gzip
import hashlib
import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kedro.io import DataCatalog, DatasetError
from servers import S3Server

from credit_scoring.adapters.sources import PartnerFilesDataset, taking
from credit_scoring.adapters.sources.ledger import Ledger
from credit_scoring.core.errors import ContractError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Feed = Callable[..., PartnerFilesDataset]


@pytest.fixture
def outgoing(tmp_path: Path) -> Path:
    path = tmp_path / "outgoing"
    path.mkdir()
    return path


@pytest.fixture
def feed(tmp_path: Path, outgoing: Path) -> Feed:
    def made(**keys: Any) -> PartnerFilesDataset:
        given = {"path": str(outgoing), "landing": str(tmp_path / "landing"), "format": "delimited"}
        return PartnerFilesDataset(**(given | {"clock": lambda: NOW} | keys))

    return made


def send(path: Path, content: str | bytes, minutes_ago: float = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    moment = (NOW - timedelta(minutes=minutes_ago)).timestamp()
    os.utime(path, (moment, moment))


def received(dataset: PartnerFilesDataset) -> list[tuple[str, tuple[Any, ...]]]:
    return [(batch.source, row) for batch in dataset.load() for row in batch.rows.rows()]


def test_each_file_is_taken_once_in_order_of_age_and_kept(outgoing: Path, feed: Feed):
    send(outgoing / "b.csv", "a,b\n1,2\n", minutes_ago=90)
    send(outgoing / "a.csv", "a,b\n3,4\n", minutes_ago=30)
    expected = [("b.csv", ("1", "2")), ("a.csv", ("3", "4"))]
    assert received(feed()) == expected
    for path in outgoing.iterdir():
        path.unlink()
    assert received(feed()) == expected


def test_content_sent_again_is_harmless_whatever_its_name_and_time(outgoing: Path, feed: Feed):
    send(outgoing / "a.csv", "a,b\n1,2\n")
    first = received(feed())
    send(outgoing / "a_again.csv", "a,b\n1,2\n", minutes_ago=20)
    send(outgoing / "a.csv", "a,b\n1,2\n", minutes_ago=10)
    assert received(feed()) == first


def test_late_files_come_after_those_taken(outgoing: Path, feed: Feed):
    send(outgoing / "may.csv", "a,b\n1,2\n", minutes_ago=30)
    feed().load()
    send(outgoing / "april.csv", "a,b\n3,4\n", minutes_ago=9_000)
    assert [source for source, _ in received(feed())] == ["may.csv", "april.csv"]


def test_another_content_under_a_known_name_is_taken_under_a_name_of_its_own(outgoing: Path, feed: Feed):
    send(outgoing / "a.csv", "a,b\n1,2\n", minutes_ago=30)
    feed().load()
    send(outgoing / "a.csv", "a,b\n3,4\n", minutes_ago=20)
    digest = hashlib.sha256(b"a,b\n3,4\n").hexdigest()
    assert received(feed()) == [("a.csv", ("1", "2")), (f"a.csv#{digest[:12]}", ("3", "4"))]


def test_only_meant_and_complete_files_are_taken(outgoing: Path, feed: Feed):
    send(outgoing / "in" / "a.csv", "a,b\n1,2\n")
    for name in ("b.csv.tmp", "c.csv.part", ".d.csv", ".hidden/e.csv", "readme.txt", "skipped.csv"):
        send(outgoing / name, "a,b\n3,4\n")
    send(outgoing / "empty.csv", "")
    assert received(feed(pattern="*.csv", skip=["skipped.csv"])) == [("in/a.csv", ("1", "2"))]


def test_a_file_just_modified_is_taken_next_time(outgoing: Path, feed: Feed):
    send(outgoing / "a.csv", "a,b\n1,2\n")
    send(outgoing / "b.csv", "a,b\n3,4\n", minutes_ago=2 / 60)
    assert [source for source, _ in received(feed())] == ["a.csv"]
    later = NOW + timedelta(seconds=10)
    assert [source for source, _ in received(feed(clock=lambda: later))] == ["a.csv", "b.csv"]


def test_a_file_that_changes_while_it_is_read_is_taken_when_it_is_whole(
    outgoing: Path, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    send(outgoing / "a.csv", "a,b\n1,2\n")
    send(outgoing / "b.csv", "a,b\n3,4\n")
    digest = hashlib.sha256

    def grows() -> Any:
        (outgoing / "b.csv").write_text("a,b\n3,4\n5,6\n")
        return digest()

    monkeypatch.setattr(taking.hashlib, "sha256", grows)
    assert [source for source, _ in received(feed())] == ["a.csv"]
    assert sorted(path.name for path in (tmp_path / "landing").iterdir()) == sorted(
        [".lock", "ledger.jsonl", digest(b"a,b\n1,2\n").hexdigest()]
    )
    monkeypatch.undo()
    assert received(feed())[1:] == [("b.csv", ("3", "4")), ("b.csv", ("5", "6"))]


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_run_killed_while_taking_leaves_nothing_half(step: str, outgoing: Path, feed: Feed, tmp_path: Path):
    for name in "abc":
        send(outgoing / f"{name}.csv", f"a,b\n{name},1\n")
    context = multiprocessing.get_context("fork")
    for dies_at in range(1, 9):
        process = context.Process(target=_take_and_die, args=(feed(), step, dies_at))
        process.start()
        process.join()
    assert [row for _, row in received(feed())] == [("a", "1"), ("b", "1"), ("c", "1")]
    assert not list((tmp_path / "landing").glob(".unfinished*"))


def _take_and_die(dataset: PartnerFilesDataset, step: str, dies_at: int) -> None:
    calls = 0
    done = getattr(os, step)

    def die(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            os._exit(9)
        return done(*given, **named)

    setattr(os, step, die)
    dataset.load()
    os._exit(0)


def test_two_runs_at_once_take_each_file_once(outgoing: Path, feed: Feed, tmp_path: Path):
    for number in range(30):
        send(outgoing / f"{number}.csv", f"a,b\n{number},1\n")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=feed().load) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    taken = Ledger(tmp_path / "landing" / "ledger.jsonl").entries()
    assert len(taken) == len({entry.sha256 for entry in taken}) == 30


def test_a_ledger_line_cut_off_by_a_crash_was_not_taken(outgoing: Path, feed: Feed, tmp_path: Path):
    send(outgoing / "a.csv", "a,b\n1,2\n")
    send(outgoing / "b.csv", "a,b\n3,4\n", minutes_ago=30)
    expected = received(feed())
    ledger = tmp_path / "landing" / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    assert received(feed()) == received(feed()) == expected
    ledger.write_bytes(b"{\n" + ledger.read_bytes())
    with pytest.raises(DatasetError, match="is damaged"):
        feed().load()


def test_a_changed_header_is_reported(outgoing: Path, feed: Feed, caplog: pytest.LogCaptureFixture):
    send(outgoing / "a.csv", "a,b\n1,2\n", minutes_ago=30)
    send(outgoing / "b.csv", "c,a\n3,4\n", minutes_ago=20)
    columns = [batch.rows.columns for batch in feed().load()]
    assert columns == [["a", "b"], ["c", "a"]]
    assert "schema of b.csv differs" in caplog.text


def test_a_file_that_cannot_be_read_is_named_and_can_be_left_out(outgoing: Path, feed: Feed):
    send(outgoing / "a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 100)[:-10], minutes_ago=30)
    send(outgoing / "b.csv", "a,b\n3,4\n")
    with pytest.raises(ContractError, match=r"'a.csv.gz' is cut off.*add 'a.csv.gz' to 'skip'"):
        received(feed())
    assert received(feed(skip=["a.csv.gz"])) == [("b.csv", ("3", "4"))]


def test_other_formats(outgoing: Path, feed: Feed, tmp_path: Path):
    send(outgoing / "a.jsonl", '{"a": 1.50}\n')
    assert received(feed(format="json_lines", pattern="*.jsonl")) == [("a.jsonl", ("1.50",))]
    pl.DataFrame({"a": [1, None]}).write_parquet(outgoing / "a.parquet")
    of_parquet = feed(format="parquet", pattern="*.parquet", landing=str(tmp_path / "other"))
    assert received(of_parquet) == [("a.parquet", ("1",)), ("a.parquet", (None,))]


@pytest.mark.parametrize(
    ("keys", "told"), [({"pattern": "*.txt"}, "no complete file"), ({"format": "csv"}, "json_lines")]
)
def test_entries_that_give_nothing(keys: dict[str, Any], told: str, outgoing: Path, feed: Feed):
    send(outgoing / "a.csv", "a,b\n1,2\n")
    with pytest.raises((ContractError, DatasetError), match=told):
        feed(**keys).load()


def test_a_bucket_prefix_through_the_catalog(s3_server: S3Server, tmp_path: Path):
    files = s3_server.files()
    prefix = f"{s3_server.bucket}/partner"
    files.pipe(f"{prefix}/2026/a.csv.gz", gzip.compress(b"a;b\n1;2\n"))
    entry = {
        "type": "credit_scoring.adapters.sources.PartnerFilesDataset",
        "path": f"s3://{prefix}",
        "pattern": "*.csv.gz",
        "format": "delimited",
        "load_args": {"delimiter": ";"},
        "landing": str(tmp_path / "landing"),
        "settled_seconds": 0,
        "credentials": "bucket",
    }
    catalog = DataCatalog.from_config({"feed": entry}, {"bucket": s3_server.credentials})
    dataset = catalog["feed"]
    assert received(dataset) == [("2026/a.csv.gz", ("1", "2"))]
    files.pipe(f"{prefix}/b.csv.gz", gzip.compress(b"a;b\n3;4\n"))
    files.rm(f"{prefix}/2026/a.csv.gz")
    assert received(dataset) == [("2026/a.csv.gz", ("1", "2")), ("b.csv.gz", ("3", "4"))]
    assert s3_server.secret not in str(dataset)
    wrong = DataCatalog.from_config({"feed": entry}, {"bucket": s3_server.credentials | {"secret": "wrong"}})
    with pytest.raises(DatasetError, match=r"may not be read. Check permissions, or 'credentials'"):
        wrong["feed"].load()
