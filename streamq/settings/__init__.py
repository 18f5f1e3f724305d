"""Every knob of streamq: what it is called, what it may be, and who turned it.

`load_settings` merges files, variables and the command line; `Settings.for_queue` says what holds
for a queue.
"""

from streamq.lookup import DEFAULT, masked_url, read_secret
from streamq.settings.knobs import (
    KEEP_NOTHING,
    Env,
    JobDefaults,
    Keep,
    LogFormat,
    QueueSettings,
    Rate,
    ScheduleSettings,
    Settings,
    overlaid,
)
from streamq.settings.loading import load_settings
from streamq.settings.origins import Origins
from streamq.settings.showing import Line, held_back, shown

__all__ = [
    "DEFAULT",
    "KEEP_NOTHING",
    "Env",
    "JobDefaults",
    "Keep",
    "Line",
    "LogFormat",
    "Origins",
    "QueueSettings",
    "Rate",
    "ScheduleSettings",
    "Settings",
    "held_back",
    "load_settings",
    "masked_url",
    "overlaid",
    "read_secret",
    "shown",
]
