"""One timer for Snakemake's scheduler, where it would start one more for every job that has finished.

Snakemake limits how many jobs start in a second, and so looks again after a second. It asks for that each time it
looks, and it looks each time a job has finished: after n jobs it looks n times a second for the rest of the run (its
pull request 3744), each time at all inputs of all jobs that are ready. Where 140 jobs were ready, that took 10.8
minutes of CPU in an hour.
"""

from __future__ import annotations

import threading
from typing import Any


def calm(scheduler: type[Any]) -> None:
    """Let a `JobScheduler` have one look ahead at a time; it is asked for anew once it has been taken."""

    def look_again(self: Any, delay: float) -> None:
        if getattr(self, "_looks_again", False):
            return
        self._looks_again = True

        def look() -> None:
            self._looks_again = False
            self._open_jobs.release()

        timer = threading.Timer(delay, look)
        # A run that is over does not wait for it.
        timer.daemon = True
        timer.start()

    scheduler._schedule_reevalutation = look_again
