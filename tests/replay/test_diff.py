from random import Random

from domain.events import Recorded
from domain.order.evolve import fold
from replay.diff import changes, diff
from tests.ledgers import random_log


def orders() -> list[list[Recorded]]:
    log = random_log(11, orders=40)
    streams = {row.stream_id for row in log}
    return [[row for row in log if row.stream_id == stream] for stream in sorted(streams)]


def test_a_diff_names_exactly_the_fields_that_differ() -> None:
    random = Random(11)
    for rows in orders():
        first, second = sorted(random.choices(range(1, len(rows) + 1), k=2))
        found = diff(rows[:first], rows[:second])
        before, after = fold(rows[:first]), fold(rows[:second])
        assert before is not None
        assert after is not None
        assert found.rows == tuple(rows[first:second])
        by_path = {c.path: (c.before, c.after) for c in found.changes}
        assert all(was != now for was, now in by_path.values())
        for name in ("status", "amount_captured", "amount_refunded", "ended"):
            sides = (getattr(before, name), getattr(after, name))
            assert by_path.get(name) == (sides if sides[0] != sides[1] else None)
        for attempt in after.attempts:
            was = before.attempt(attempt.id)
            sides = (was.status if was else None, attempt.status)
            path = f"attempts[{attempt.id}].status"
            assert by_path.get(path) == (sides if sides[0] != sides[1] else None)
        assert (found.before.position, found.after.position) == (
            rows[first - 1].position,
            rows[second - 1].position,
        )


def test_nothing_differs_from_itself() -> None:
    for rows in orders():
        found = diff(rows, rows)
        assert (found.rows, found.changes) == ((), ())


def test_before_its_creation_an_order_has_no_side() -> None:
    (rows, *_) = orders()
    found = diff([], rows)
    assert found.before.position is found.before.status is None
    assert all(change.before is None for change in found.changes)
    assert {"status", "id", "amount", "mode"} <= {change.path for change in found.changes}


def test_what_is_sealed_stays_sealed() -> None:
    for rows in orders():
        told = {c.path: c.after for c in changes(None, fold(rows))}
        assert told["personal"] == "sealed"
