"""Watch: the progress of long work, as bars on a terminal or as a line now and then where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from advgames.report.numbers import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["Watch"]

Event = dict[str, Any]


class Watch:
    """Takes progress events (see :mod:`advgames.training.progress`) and shows them; a context manager.

    Args:
        console: where to; bars if it is a terminal, else plain lines.
        every: seconds between plain lines at least.
        clock: what time it is, in seconds.
    """

    def __init__(self, console: Console, every: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._every, self._clock = console, every, clock
        self._bars: Progress | None = None
        self._rows: dict[str, TaskID] = {}
        self._running: dict[str, tuple[float, int, str]] = {}  # match -> (share played, matches, what to say)
        self._began = self._told = clock()
        self._total = self._done = 0
        self._announced = False
        self._inherited = 0.0  # matches, or parts of them, that earlier work left

    def __enter__(self) -> Watch:
        if self._console.is_terminal:
            self._bars = self._make_bars()
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is None and kind is None and self._total:
            took = duration(self._clock() - self._began)
            self._line(f"{self._done} of {self._total} matches played, {took}")
        self.close()

    def close(self) -> None:
        """Stop drawing, so that messages can follow; may be called again."""
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        kind, match = event["kind"], str(event.get("match", ""))
        if kind == "start":
            self._total, self._done = int(event["total"]), int(event["done"])
            self._inherited, self._began = float(self._done), self._clock()
        elif kind == "round":
            played, horizon, count = int(event["round"]), int(event["horizon"]), int(event.get("matches", 1))
            if match not in self._running:  # a match resumed on the way starts beyond its first round
                self._inherited += count * (played - 1) / horizon
            self._running[match] = (played / horizon, count, f"round {played} of {horizon}")
        elif kind == "done":
            self._running.pop(match, None)
            self._done += int(event.get("matches", 1))
        self._show()

    @property
    def played(self) -> float:
        """Matches played, with the played share of those under way."""
        return self._done + sum(share * count for share, count, _ in self._running.values())

    def remaining(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None before there is a pace."""
        spent, gained = self._clock() - self._began, self.played - self._inherited
        if spent < 1.0 or gained <= 0:
            return None
        return spent * max(self._total - self.played, 0.0) / gained

    def _show(self) -> None:
        if self._bars is not None:
            self._update_bars(self._bars)
            return
        if self._running and not self._announced:
            self._announced = True
            self._line(f"{self._total - self._done} of {self._total} matches to play")
        if self._running and self._clock() - self._told >= self._every:
            under_way = "; ".join(f"{match}, {text}" for match, (_, _, text) in list(self._running.items())[:2])
            self._line(
                f"{self._share():.0f} % · {self._done} of {self._total} matches · {under_way}{self._left(' · ')}"
            )

    def _share(self) -> float:
        return 100 * self.played / max(self._total, 1)

    def _left(self, before: str = "") -> str:
        left = self.remaining()
        return "" if left is None else f"{before}about {duration(left)} left"

    def _line(self, text: str) -> None:
        self._told = self._clock()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _make_bars(self) -> Progress:
        from rich.progress import BarColumn, Progress, TextColumn

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            expand=True,
        )

    def _update_bars(self, bars: Progress) -> None:
        if "" not in self._rows:
            self._rows[""] = bars.add_task("all matches", total=1.0, text="")
        text = f"{self._done} of {self._total} matches{self._left(', ')}"
        bars.update(self._rows[""], completed=self._share() / 100, text=text)
        for match, (share, _, text) in self._running.items():
            if match not in self._rows:
                self._rows[match] = bars.add_task(match, total=1.0, text="")
            bars.update(self._rows[match], completed=share, text=text)
        for match in [match for match in self._rows if match and match not in self._running]:
            bars.remove_task(self._rows.pop(match))
