"""When a pipeline runs by itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from regraft.core.strict import Strict

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LEAST_SECONDS = 10
"""A window shorter than this is a mistake: a run that has nothing to do takes seconds."""


class Times(Strict):
    """Times that come again, from `regraft deploy` on."""

    cron: str | None = None
    """Five fields, as in `crontab`: `0 3 * * 1` is Monday at three."""
    interval: str | None = Field(None, pattern=r"^[1-9][0-9]*[smhd]$")
    """A number with a unit, s, m, h or d: `6h`. Counted from the moment of deployment."""
    timezone: str = "UTC"
    """Where `cron` is read, as `Europe/Berlin`; daylight saving time counts."""

    @field_validator("cron")
    @classmethod
    def _is_a_time(cls, cron: str | None) -> str | None:
        if cron is None:
            return None
        from cronsim import CronSim, CronSimError

        try:
            next(CronSim(cron, datetime(2024, 1, 1)))  # a leap year: `0 0 29 2 *` is a date
        except (CronSimError, StopIteration):
            raise ValueError("write five fields (minute, hour, day, month, weekday) that some day fits, as in `0 3 * * 1`") from None
        return cron

    @field_validator("interval")
    @classmethod
    def _is_long_enough(cls, interval: str | None) -> str | None:
        if interval is not None and seconds(interval) < LEAST_SECONDS:
            raise ValueError(f"write at least {LEAST_SECONDS}s")
        return interval

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError("write a name of the IANA database, as `UTC` or `Europe/Berlin`") from None
        return timezone

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("write either `cron: ...` or `interval: ...`")
        return self

    def document(self) -> dict[str, str | int]:
        """The same value however it was written: ``{cron, timezone}``, or ``{seconds}``."""
        return {"seconds": seconds(self.interval)} if self.interval else {"cron": self.cron or "", "timezone": self.timezone}

    def after(self, moment: datetime) -> datetime | None:
        """The first time of `cron` after ``moment``, in UTC; None of an interval."""
        if self.cron is None:
            return None
        from cronsim import CronSim

        return next(CronSim(self.cron, moment.astimezone(ZoneInfo(self.timezone)))).astimezone(UTC)

    @property
    def words(self) -> str:
        """As a person reads it: "cron 0 3 * * 1 (UTC)", "every 6h"."""
        return f"every {self.interval}" if self.interval else f"cron {self.cron} ({self.timezone})"


class ScheduleOptions(Times):
    """When the pipeline runs by itself, from `regraft deploy` on. A run in which nothing has changed computes nothing."""

    only_if: Literal["changed", "always"] = "changed"
    """`changed`: a run in which nothing has changed ends at once, and the last verdict stands. `always`: it computes nothing either, but
    judges once more, with a run in MLflow, a page and a notification of its own; not while people are asked."""


def seconds(interval: str) -> int:
    """Seconds of ``6h``."""
    number, unit = re.fullmatch(r"([0-9]+)([smhd])", interval).groups()  # type: ignore[union-attr]
    return int(number) * SECONDS[unit]
