"""Snakemake's scheduler has one look ahead at a time."""

import threading

from snakemake.scheduling.job_scheduler import JobScheduler

from dalsegno import scheduler


class Scheduler:
    def __init__(self) -> None:
        self._open_jobs = threading.Semaphore(0)

    def _schedule_reevalutation(self, delay: float) -> None:
        threading.Timer(delay, self._open_jobs.release).start()


def looks(own: Scheduler) -> int:
    number = 0
    while own._open_jobs.acquire(timeout=0.3):
        number += 1
    return number


def test_a_look_that_is_due_is_not_asked_for_again() -> None:
    own = Scheduler()
    for _ in range(5):
        own._schedule_reevalutation(0.01)
    assert looks(own) == 5
    scheduler.calm(Scheduler)
    for _ in range(3):
        for _ in range(5):
            own._schedule_reevalutation(0.05)
        assert looks(own) == 1


def test_snakemake_still_has_what_is_replaced() -> None:
    assert hasattr(JobScheduler, "_schedule_reevalutation")
