"""The limits of tuning as a service."""

import dataclasses

from hclx.field_checks import Validated


@dataclasses.dataclass(frozen=True)
class TuningConfig(Validated):
    """The limits of data sets and jobs, and how a server runs jobs.

    Attributes:
      datasets: the most data sets of a tenant.
      jobs: the most jobs of a tenant that wait or run.
      running: the most jobs that this server runs at once; 0: other servers of the store do.
      steps: the most steps of a job.
      batch_tokens: the most tokens of a step.
      poll_seconds: between two looks at the jobs.
      silent_seconds: after which a server that has said nothing about its job is gone. It is longer
        than `save_seconds`, so that no job runs twice.
      save_seconds: that a job has to save and end before it is killed.
    """

    datasets: int = 100
    jobs: int = 20
    running: int = 1
    steps: int = 100_000
    batch_tokens: int = 2**18
    poll_seconds: float = 1.0
    silent_seconds: float = 60.0
    save_seconds: float = 30.0

    def _check(self):
        self._positive("datasets", "jobs", "steps", "batch_tokens")
        self._not_negative("running")
        self._positive("poll_seconds", "silent_seconds", "save_seconds")
