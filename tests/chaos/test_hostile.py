"""The hostile run of `make chaos`, short: nobody is charged twice, almost everybody is charged."""

import pytest

from tests.chaos.hostile import hostile
from tests.chaos.run import show

SEED = 5
ORDERS = 200
SECONDS = 30.0
FAULTS_MIN = 8


@pytest.mark.timeout(600)
def test_three_calls_in_ten_go_wrong_while_workers_die_and_nobody_is_charged_twice() -> None:
    report = hostile(
        seed=SEED,
        seconds=SECONDS,
        orders=ORDERS,
        faults_min=FAULTS_MIN,
        progress=lambda _done, _phase: None,
    )
    show(report)
    assert report.failures == []
    assert report.orders == ORDERS
    assert report.polls > 0
