import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from databases import migrate
from replayed import OWNER, History, every_kind, with_other_features
from sqlalchemy import Connection, Engine, create_engine, delete, select, text, update

from credit_scoring.adapters.database.audit import AuditRepository, Selection
from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import open_database, writing
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.api.replays import Replay
from credit_scoring.core.audit import BadRecord, ChainAudit, Head
from credit_scoring.core.chains import GENESIS, link
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.training.development import Development
from credit_scoring.serving.received_bodies import ReceivedBodies
from credit_scoring.usecases.replay_decisions import Replayer

HASH, PREVIOUS, CONTENT = "its hash does not fit its content", "its previous hash is not", "its content is not a record"
Tamper = Callable[[Connection, list[Any]], Any]
_c = decisions.c


@pytest.fixture(scope="module")
def newer(development: Development) -> ModelBundle:
    return with_other_features(development)


@pytest.fixture(scope="module")
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


@pytest.fixture(scope="module")
def records(models: dict[Any, ModelBundle], newer: ModelBundle) -> list[DecisionRecord]:
    return every_kind(History(), models, newer)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def chain(engine: Engine, records: list[DecisionRecord]) -> list[Any]:
    """The rows of the longer of two writers' chains, in order."""
    books = DecisionRepository(engine), DecisionRepository(engine)
    books[0].add(records[:8])
    books[1].add(records[8:20])
    books[0].add(records[20:])
    with engine.connect() as connection:
        rows = connection.execute(select(decisions).order_by(_c.writer, _c.sequence)).all()
    [longer] = {row.writer for row in rows if row.decision_id == records[0].answer.decision_id}
    return [row for row in rows if row.writer == longer]


def audited(engine: Engine, kept: Any = (), portfolio: str | None = None) -> tuple[ChainAudit, list[BadRecord]]:
    audit = ChainAudit(kept)
    bad = [found for entry in AuditRepository(engine).walk(portfolio) if (found := audit.take(entry))]
    return audit, [*bad, *audit.missing()]


def open_to_change(connection: Connection) -> None:
    """What somebody with the rights of the database's owner does first."""
    if connection.dialect.name == "sqlite":
        for action in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER decisions_no_{action}"))
    else:
        connection.execute(text("ALTER TABLE decisions DISABLE TRIGGER USER"))


def tampered(engine: Engine, chain: list[Any], tamper: Tamper) -> None:
    with writing(engine).begin() as connection:
        open_to_change(connection)
        tamper(connection, chain)


def changed(row: Any, **values: Any) -> Any:
    return update(decisions).where(_c.decision_id == row.decision_id).values(**values)


def relinked(row: Any, content: str, previous: str | None = None) -> dict[str, Any]:
    made = link(row.writer, row.sequence, row.previous_hash if previous is None else previous, content)
    return {"content": content, "previous_hash": made.previous_hash, "hash": made.hash}


def with_a_digit_changed(row: Any) -> str:
    told = json.loads(row.content)
    old = f'"points":{told["answer"]["points"]},'
    assert row.content.count(old) >= 1
    return str(row.content.replace(old, f'"points":{told["answer"]["points"] + 1},', 1))


def exchange(column: str) -> Tamper:
    def swap(connection: Connection, chain: list[Any]) -> None:
        one, other = chain[3], chain[5]
        values = getattr(one, column), getattr(other, column)
        if column == "sequence":
            connection.execute(changed(one, sequence=10_000))
        connection.execute(changed(other, **{column: values[0]}))
        connection.execute(changed(one, **{column: values[1]}))

    return swap


def test_what_nobody_touched_is_all_as_it_was_written(engine, chain, records):
    audit, bad = audited(engine)
    assert bad == []
    assert (audit.records, len(audit.heads)) == (len(records), 2)
    assert audit.heads[chain[0].writer] == Head(chain[-1].writer, chain[-1].sequence, chain[-1].hash)
    assert audit.first == audit.last == records[0].decided_at
    assert audited(engine, audit.heads.values())[1] == []


TAMPERINGS: dict[str, tuple[Tamper, list[tuple[int, list[str]]]]] = {
    "a digit changed": (
        lambda connection, chain: connection.execute(changed(chain[4], content=with_a_digit_changed(chain[4]))),
        [(5, [HASH])],
    ),
    "a digit changed with its hash": (
        lambda connection, chain: connection.execute(
            changed(chain[4], **relinked(chain[4], with_a_digit_changed(chain[4])))
        ),
        [(6, [PREVIOUS])],
    ),
    "a hash changed": (
        lambda connection, chain: connection.execute(changed(chain[4], hash="0" * 64)),
        [(5, [HASH]), (6, [PREVIOUS])],
    ),
    "a previous hash changed": (
        lambda connection, chain: connection.execute(changed(chain[4], previous_hash="0" * 64)),
        [(5, [PREVIOUS, HASH])],
    ),
    "two contents exchanged": (exchange("content"), [(4, [HASH, "decision_id"]), (6, [HASH, "decision_id"])]),
    "two places exchanged": (
        exchange("sequence"),
        [(4, [PREVIOUS, HASH]), (5, [PREVIOUS]), (6, [PREVIOUS, HASH]), (7, [PREVIOUS])],
    ),
    "one deleted in the middle": (
        lambda connection, chain: connection.execute(delete(decisions).where(_c.decision_id == chain[4].decision_id)),
        [(6, ["a gap: 1 record(s) before it are missing"])],
    ),
    "the first two deleted": (
        lambda connection, chain: connection.execute(
            delete(decisions).where(_c.writer == chain[0].writer, _c.sequence <= 2)
        ),
        [(3, ["a gap: 2 record(s) before it are missing"])],
    ),
    "content that is no record": (
        lambda connection, chain: connection.execute(changed(chain[4], **relinked(chain[4], '{"answer":{}}'))),
        [(5, [CONTENT]), (6, [PREVIOUS])],
    ),
    "content that is not JSON": (
        lambda connection, chain: connection.execute(changed(chain[4], content="nothing")),
        [(5, [HASH, CONTENT])],
    ),
    **{
        f"only the column {name}": (
            lambda connection, chain, name=name: connection.execute(changed(chain[4], **{name: "other"})),
            [(5, [f"column(s) {name}"])],
        )
        for name in ("decision_id", "tenant", "portfolio", "application_id", "applicant_id")
    },
    "only the column decided_at": (
        lambda connection, chain: connection.execute(
            changed(chain[4], decided_at=chain[4].decided_at + timedelta(microseconds=1))
        ),
        [(5, ["column(s) decided_at"])],
    ),
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_each_way_to_tamper_is_found_where_it_was_done(engine, chain, how):
    tamper, expected = TAMPERINGS[how]
    tampered(engine, chain, tamper)
    _, bad = audited(engine)
    assert [(found.writer, found.sequence) for found in bad] == [
        (chain[0].writer, sequence) for sequence, _ in expected
    ]
    for found, (_, words) in zip(bad, expected, strict=True):
        assert len(found.wrong) == len(words), found
        assert all(word in told for word, told in zip(words, found.wrong, strict=True)), found
        assert found.decision_id is not None


def test_a_record_moved_to_another_chain_fits_nowhere(engine, chain):
    tampered(engine, chain, lambda connection, rows: connection.execute(changed(rows[-1], writer="w", sequence=1)))
    [found] = audited(engine)[1]
    assert (found.writer, found.sequence, found.wrong) == (
        "w",
        1,
        [PREVIOUS + " the hash of the record before it", HASH],
    )


@pytest.mark.parametrize("rubbish", ["CAST(x'ff' AS TEXT)", "'x'", "''"])
def test_bytes_that_are_no_text_and_moments_that_are_none_are_named(engine, chain, rubbish):
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL stores neither")
    column = "content" if rubbish.startswith("CAST") else "decided_at"
    tampered(engine, chain, lambda connection, rows: connection.execute(changed(rows[4], **{column: text(rubbish)})))
    [found] = audited(engine)[1]
    assert found.sequence == 5
    assert (CONTENT in found.wrong) if column == "content" else ("decided_at" in found.wrong[0])


def test_that_the_newest_are_removed_is_seen_by_links_that_were_kept_and_only_by_them(engine, chain):
    kept = list(audited(engine)[0].heads.values())
    newest = _c.writer == chain[0].writer, _c.sequence > len(chain) - 2
    tampered(engine, chain, lambda connection, _rows: connection.execute(delete(decisions).where(*newest)))
    assert audited(engine)[1] == []
    [found] = audited(engine, kept)[1]
    assert (found.sequence, found.decision_id) == (len(chain) - 1, None)
    assert found.wrong == ["2 newest record(s) that were kept are removed"]


def test_that_a_whole_chain_is_removed_is_seen_by_links_that_were_kept(engine, chain):
    kept = list(audited(engine)[0].heads.values())
    whole = delete(decisions).where(_c.writer == chain[0].writer)
    tampered(engine, chain, lambda connection, _rows: connection.execute(whole))
    assert audited(engine)[1] == []
    [found] = audited(engine, kept)[1]
    assert (found.writer, found.sequence) == (chain[0].writer, 1)
    assert "the whole chain" in found.wrong[0]


def test_that_a_chain_is_written_anew_is_seen_by_links_that_were_kept(engine, chain):
    kept = list(audited(engine)[0].heads.values())

    def rewrite(connection: Connection, rows: list[Any]) -> None:
        previous = GENESIS
        for place, row in enumerate(rows):
            content = with_a_digit_changed(row) if place == 4 else row.content
            values = relinked(row, content, previous)
            connection.execute(changed(row, **values))
            previous = values["hash"]

    tampered(engine, chain, rewrite)
    assert audited(engine)[1] == []
    [found] = audited(engine, kept)[1]
    assert (found.sequence, found.decision_id) == (len(chain), chain[-1].decision_id)
    assert "written anew" in found.wrong[0]


def test_later_decisions_do_not_disturb_links_that_were_kept(engine, chain, records):
    kept = list(audited(engine)[0].heads.values())
    book = DecisionRepository(engine)
    answer = records[0].answer.model_copy(update={"decision_id": "later", "application_id": "later"})
    book.add([replace(records[0], answer=answer)])
    assert audited(engine, kept)[1] == []


def test_only_the_chains_that_hold_records_of_a_portfolio_are_walked(engine, chain, records):
    answer = records[0].answer.model_copy(update={"decision_id": "other"})
    DecisionRepository(engine).add([replace(records[0], owner=Owner("default", "other"), answer=answer)])
    assert audited(engine)[0].records == len(records) + 1
    assert audited(engine, portfolio="other")[0].records == 1
    assert audited(engine, portfolio="taiwan_cards")[0].records == len(records)


def replayer(engine: Engine, models: dict[Any, ModelBundle], newer: ModelBundle) -> Replayer:
    """One that can fetch every bundle, on the roles that are recorded in the database."""
    history = History()
    history.assign(models)
    history.assign({"champion": newer, "challenger": newer})
    return Replayer(AuditRepository(engine), RoleRepository(engine), history.bundle_of, ReceivedBodies().read)


def test_every_kind_of_decision_is_replayed_from_the_database_bit_for_bit(engine, models, newer):
    records = every_kind(History(RoleRepository(engine)), models, newer)
    DecisionRepository(engine).add(records)
    one = replayer(engine, models, newer)
    pages = list(AuditRepository(engine).pages(Selection()))
    replays = [replay for page in pages for replay in one.replay_many(page)]
    assert len(replays) == len(records) == AuditRepository(engine).count(Selection())
    assert {record.answer.features_from for record in records} == {"request", "store", "cache"}
    assert {record.answer.fallback for record in records} == {False, True}
    for replay in replays:
        assert isinstance(replay, Replay)
        assert replay.differences == ()
        assert (replay.matches, replay.exact, replay.link_valid) == (True, True, True)
    for record in records:
        assert one.replay(OWNER, record.answer.decision_id) in replays


def test_what_is_asked_for_is_paged_in_order_of_decision(engine, chain, records, monkeypatch):
    monkeypatch.setattr("credit_scoring.adapters.database.audit._AT_ONCE", 7)
    pages = list(AuditRepository(engine).pages(Selection(portfolio="taiwan_cards", tenant="default")))
    assert [len(page) for page in pages][:-1] == [7] * (len(records) // 7)
    found = [one.entry.decision_id for page in pages for one in page]
    assert found == sorted(record.answer.decision_id for record in records)
    assert list(AuditRepository(engine).pages(Selection(tenant="nobody"))) == []
    assert list(AuditRepository(engine).pages(Selection(since=records[0].decided_at + timedelta(seconds=1)))) == []
    [[only]] = AuditRepository(engine).pages(Selection(decision_id=found[3], since=records[0].decided_at))
    assert only.entry.decision_id == found[3]


def test_another_lender_sees_no_record(engine, chain):
    one = AuditRepository(engine)
    assert one.chained(OWNER, chain[0].decision_id) is not None
    assert one.chained(Owner("rival", "taiwan_cards"), chain[0].decision_id) is None


def test_a_decision_from_before_there_were_chains_is_verified_and_replayed(database_url, records, models, newer):
    old = [record for record in records if record.answer.application_id.startswith(("split", "late"))]
    first = create_engine(database_url)
    with first.begin() as connection:
        migrate(connection, "0002")
        for record in old:
            connection.execute(text(_OLD_ROW), _old_row(record, connection.dialect.name))
    first.dispose()
    engine = open_database(database_url)
    audit, bad = audited(engine)
    assert (audit.records, list(audit.heads), bad) == (len(old), ["migration-0003"], [])
    one = replayer(engine, models, newer)
    for record in old:
        replay = one.replay(OWNER, record.answer.decision_id)
        assert replay.differences == ()
        assert replay.link_valid
        assert {"roles", "arm", "arm_probability"} <= {one.name for one in replay.not_checked}
    engine.dispose()


_OLD_ROW = (
    "INSERT INTO decisions (decision_id, portfolio, application_id, applicant_id, decided_at, received_digest, "
    "received, answer, feature_values, scores) VALUES (:decision_id, :portfolio, :application_id, :applicant_id, "
    ":decided_at, :received_digest, :received, :answer, :feature_values, :scores)"
)


def _old_row(record: DecisionRecord, dialect: str) -> dict[str, Any]:
    answer = record.answer
    values = {version: used.values for version, used in record.features.items()}
    scores = {role: output.model_dump(mode="json") for role, output in record.scores.items()}
    moment = record.decided_at.strftime("%Y-%m-%d %H:%M:%S.%f") if dialect == "sqlite" else record.decided_at
    return {
        "decision_id": answer.decision_id,
        "portfolio": record.owner.portfolio,
        "application_id": answer.application_id,
        "applicant_id": answer.applicant_id,
        "decided_at": moment,
        "received_digest": record.received_digest,
        "received": json.dumps(record.received),
        "answer": json.dumps(answer.model_dump(mode="json")),
        "feature_values": json.dumps(values),
        "scores": json.dumps(scores),
    }
