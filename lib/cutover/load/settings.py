"""What the driver tells the processes of Locust, by environment, and what each log says about its run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cutover.errors import UsageError
from cutover.load.arrivals import Schedule, steady

_PREFIX = "CUTOVER_LOAD_"
ABOUT_WORKERS = "workers.json"
"""In a run's folder: what the master knows of its workers."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One run's settings, the same for each of its processes.

    Attributes:
        arrivals_per_s: over all processes; 0 leaves Locust's own closed model.
        schedule: when they are due, as `Schedule.to_json` gives it, or `@` and a file that holds it; empty: by chance
            at `arrivals_per_s` throughout.
        duration_s: how long visitors arrive, the warm-up included.
        warm_up_s: how much of the beginning is left out of percentiles and rates.
        workers: processes that share the arrivals.
        timeout_s: a request is given up after this, whatever it is doing.
        concurrency: requests at once, over all processes; an arrival beyond it is recorded as `never_sent`.
        folder: where the logs go; empty records nothing.
        seed: makes the arrivals repeatable; -1 takes the system's randomness.
        lifeline: a file descriptor that closes when the driver ends, -1 for none.
        login: `email:password` of the visitors.
        admin_login: `email:password` of the administrator, empty for none.
    """

    arrivals_per_s: float = 0.0
    duration_s: float = 60.0
    warm_up_s: float = 0.0
    workers: int = 1
    timeout_s: float = 30.0
    concurrency: int = 1000
    folder: str = ""
    schedule: str = ""
    seed: int = -1
    lifeline: int = -1
    login: str = dataclasses.field(default="", repr=False)
    admin_login: str = dataclasses.field(default="", repr=False)

    def arrivals(self) -> Schedule:
        """When visitors are due, over all workers.

        Raises:
            UsageError: what `schedule` holds or names is none.
        """
        if not self.schedule:
            return steady(self.arrivals_per_s, self.duration_s)
        if not self.schedule.startswith("@"):
            return Schedule.from_json(self.schedule)
        try:
            return Schedule.from_json(Path(self.schedule[1:]).read_text())
        except OSError as error:
            todo = "copy it to this machine, to the same place"
            raise UsageError(f"The schedule of the load cannot be read: {error}", todo=todo) from None

    def environment(self) -> dict[str, str]:
        """The environment variables that carry these settings (`CUTOVER_LOAD_ARRIVALS_PER_S` and so on)."""
        return {_PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def public(self) -> dict[str, float | int]:
        """What a log tells of its run: numbers only, no secret, no path."""
        names = ("arrivals_per_s", "duration_s", "warm_up_s", "workers", "timeout_s", "concurrency")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The inverse of `environment`; what is not there keeps its default.

        Raises:
            UsageError: a variable that is not the number it should be.
        """
        given = os.environ if environment is None else environment
        values: dict[str, float | int | str] = {}
        for field in dataclasses.fields(cls):
            text = given.get(_PREFIX + field.name.upper())
            if text is None:
                continue
            kind = type(field.default)
            try:
                values[field.name] = kind(text) if kind in (int, float) else text
            except ValueError:
                raise UsageError(
                    f"{_PREFIX}{field.name.upper()} is not a number: {text!r}",
                    todo=f"give it as {kind.__name__}, or unset it for the default {field.default}",
                ) from None
        return cls(**values)  # type: ignore[arg-type]
