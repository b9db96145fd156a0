"""The storm of `make chaos`, short: all is killed under load, and nothing promised breaks."""

import pytest

from tests.chaos.run import show
from tests.chaos.storm import storm

SEED = 11
KILLS = 64
SECONDS = 25.0


@pytest.mark.timeout(400)
def test_a_storm_of_kills_loses_doubles_and_strands_nothing() -> None:
    report = storm(seed=SEED, seconds=SECONDS, kills=KILLS, progress=lambda _done, _phase: None)
    show(report)
    assert report.failures == []
    assert sum(report.kills.values()) == KILLS
    assert min(verdict.looked_at for verdict in report.verdicts) > 0
    assert report.acknowledged > 500
