"""Whatever is done to some rows of any history, kind and place are told. Pure."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.log import Row
from replay.tampering import SHIFT_MAX, Finding, diagnose, leaf_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(streams: list[int]) -> list[Row]:
    """Rows whose streams take turns as the list says."""
    versions: dict[int, int] = {}
    rows: list[Row] = []
    for position, stream in enumerate(streams, 1):
        versions[stream] = versions.get(stream, 0) + 1
        rows.append(
            Row(
                stream_id=f"ord_{stream}",
                version=versions[stream],
                tag="order.created.v1",
                state=f'{{"n":{position}}}'.encode(),
                position=position,
                recorded_at=START + timedelta(microseconds=position // 3),
            )
        )
    return rows


def told(before: list[Row], after: list[Row]) -> list[Finding]:
    leaves = {row.position: leaf_of(row) for row in before}
    wrong = [row for row in after if leaf_of(row) != leaves.get(row.position)]
    return diagnose([row for row in wrong if row.position in leaves], leaves, more=False)


def placed(findings: list[Finding]) -> list[tuple[str, int, int]]:
    return [(f.kind, f.position, f.upto) for f in findings]


def versions_anew(rows: list[Row]) -> list[Row]:
    counted: dict[str, int] = {}
    found: list[Row] = []
    for row in rows:
        counted[row.stream_id] = counted.get(row.stream_id, 0) + 1
        found.append(replace(row, version=counted[row.stream_id]))
    return found


histories = st.lists(st.integers(0, 4), min_size=3, max_size=60).map(history)


@given(histories)
def test_a_history_that_was_not_touched_has_nothing_to_tell(rows: list[Row]) -> None:
    assert told(rows, rows) == []


@given(histories, st.data())
def test_altered_events_are_named_each(rows: list[Row], data: st.DataObject) -> None:
    places = data.draw(st.sets(st.sampled_from(range(len(rows))), min_size=1, max_size=5))
    after = [
        replace(row, state=row.state + b" ") if n in places else row for n, row in enumerate(rows)
    ]
    assert placed(told(rows, after)) == [("altered", n + 1, n + 1) for n in sorted(places)]


@given(histories, st.data())
def test_events_that_were_taken_out_are_named_though_all_was_numbered_anew(
    rows: list[Row], data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(rows) - 1))
    last = data.draw(st.integers(first, min(first + SHIFT_MAX, len(rows)) - 1))
    kept = [row for row in rows if not first <= row.position <= last]
    after = [replace(row, position=n) for n, row in enumerate(kept, 1)]
    found = told(rows, versions_anew(after) if data.draw(st.booleans()) else after)
    assert placed(found) == [("missing", first, last)]


@given(histories, st.data())
def test_events_that_were_put_in_are_named(rows: list[Row], data: st.DataObject) -> None:
    many = data.draw(st.integers(1, SHIFT_MAX))
    first = data.draw(st.integers(1, max(1, len(rows) - many)))
    forged = [replace(rows[0], stream_id="ord_forged", version=n + 1) for n in range(many)]
    mixed = [*rows[: first - 1], *forged, *rows[first - 1 :]]
    after = [replace(row, position=n) for n, row in enumerate(mixed, 1)]
    if first + many <= len(rows):
        assert placed(told(rows, after)) == [("inserted", first, first + many - 1)]


@given(histories, st.data())
def test_events_that_changed_places_are_named_with_where_they_were(
    rows: list[Row], data: st.DataObject
) -> None:
    a, b = data.draw(st.sets(st.sampled_from(range(len(rows))), min_size=2, max_size=2))
    after = list(rows)
    after[a] = replace(rows[b], position=a + 1)
    after[b] = replace(rows[a], position=b + 1)
    found = told(rows, after)
    assert placed(found) == [("reordered", n + 1, n + 1) for n in sorted((a, b))]
    assert f"was event {b + 1}" in next(f.detail for f in found if f.position == a + 1)
