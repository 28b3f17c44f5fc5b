"""How long the steps of a stage take, and how a time reads."""

from statistics import median

RECENT = 32


class Pace:
    """Seconds per step, from the steps of this process without the first, which warms up.

    The median of the recent steps, or of recent cycles where the steps of a cycle differ, so that
    one slow step changes nothing; what not every step has is spread over all.

    Args:
        cycle: after so many steps the same work comes round again.

    >>> pace = Pace()
    >>> for step, seconds in enumerate([60.0, 62.0, 64.0, 66.0, 90.0], 1):  # warm-up, 3 × 2 s, 24 s
    ...     pace.add(seconds, step)
    >>> pace.seconds_per_step()
    2.0
    """

    def __init__(self, cycle: int = 1) -> None:
        self.cycle, self.seconds = cycle, 0.0
        self._steps = 0
        self._besides, self._besides_all = 0.0, 0.0
        self._parts: list[tuple[float, int]] = []  # seconds and steps, as they were told

    def besides(self, seconds: float) -> None:
        """Part of the time until the next `add` went to what not every step has."""
        self._besides += seconds

    def add(self, seconds: float, steps: int) -> None:
        """So many steps have been done, in so many seconds since the start."""
        if steps > self._steps:
            plain = max(seconds - self.seconds - self._besides, 0.0)
            self._parts.append((plain, steps - self._steps))
        self._besides_all, self._besides = self._besides_all + self._besides, 0.0
        self.seconds, self._steps = seconds, max(steps, self._steps)

    def seconds_per_step(self) -> float | None:
        """None while too little is known: a step, or a cycle, after the first step."""
        usable = self._parts[1:]
        windows = [
            usable[first : first + self.cycle]
            for first in range(max(len(usable) - self.cycle + 1, 0))
        ][-RECENT:]
        if not windows:
            return None
        paces = [sum(s for s, _ in window) / sum(n for _, n in window) for window in windows]
        return median(paces) + self._besides_all / self._steps


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> [duration(s) for s in (0.4, 40, 89, 91, 53 * 60, 7790, 76 * 3600)]
    ['0 s', '40 s', '89 s', '2 min', '53 min', '2 h 10 min', '3 d 4 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
