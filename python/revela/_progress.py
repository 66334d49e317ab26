"""Progress in terminals and notebooks: tqdm's bars where it is installed, plain lines where it is not."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Optional, Protocol


class Bar(Protocol):
    """What the compiled part tells."""

    def update(self, count: int) -> None: ...
    def remark(self, text: str) -> None: ...
    def close(self) -> None: ...


Make = Callable[[str, str, Optional[int]], Bar]


class _Tqdm:
    def __init__(self, make: Any, name: str, unit: str, total: Optional[int]) -> None:
        self._bar = make(desc=name, unit=f" {unit}", total=total)
        self.update = self._bar.update
        self.remark = self._bar.set_postfix_str
        self.close = self._bar.close


class _Lines:
    """A line every few seconds, and one at the end."""

    EVERY = 5.0

    def __init__(self, name: str, unit: str, total: Optional[int]) -> None:
        self._name, self._unit, self._total = name, unit, total
        self._done, self._remark = 0, ""
        self._began = self._said = time.monotonic()

    def update(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= self.EVERY:
            self._say()

    def remark(self, text: str) -> None:
        self._remark = text

    def close(self) -> None:
        if time.monotonic() - self._began >= self.EVERY:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        amount = f"{self._done}" if self._total is None else f"{self._done}/{self._total}"
        seconds = self._said - self._began
        print(f"{self._name}: {amount} {self._unit} in {seconds:.0f} s {self._remark}".rstrip(), file=sys.stderr)


def _is_watched() -> bool:
    """Whether there is somebody to look: a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def bars(show: Optional[bool]) -> Optional[Make]:
    """Who makes bars; None for silence. `show=None` shows them in terminals and notebooks."""
    if not (_is_watched() if show is None else show):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Lines
    return lambda name, unit, total: _Tqdm(tqdm, name, unit, total)
