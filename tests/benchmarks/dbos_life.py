"""A four-step workflow of DBOS, run by eight workers: what a whole life is compared with.

`python -m tests.benchmarks.dbos_life DATABASE_URL WORKFLOWS` prints workflows/s and the CPU
seconds of this process. The steps do nothing: what is measured is what DBOS does to make them
durable.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS  # type: ignore[missing-import]  # of the group `bench`

WORKERS = 8
WARM_UP = 16


@DBOS.step()
def create(n: int) -> int:
    return n


@DBOS.step()
def authorize(n: int) -> int:
    return n


@DBOS.step()
def capture(n: int) -> int:
    return n


@DBOS.step()
def show(n: int) -> int:
    return n


@DBOS.workflow()
def life(n: int) -> int:
    return show(capture(authorize(create(n))))


def main() -> None:
    url, workflows = sys.argv[1], int(sys.argv[2])
    DBOS(
        config={
            "name": "loop-bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "max_executor_threads": WORKERS,
        }
    )
    DBOS.launch()
    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(life, range(WARM_UP)))
        start, before_s = time.perf_counter(), time.process_time()
        list(workers.map(life, range(workflows)))
        seconds = time.perf_counter() - start
        used_s = time.process_time() - before_s
    print(workflows / seconds, used_s)
    DBOS.destroy()


if __name__ == "__main__":
    main()
