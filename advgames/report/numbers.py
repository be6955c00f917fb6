"""Numbers as people read them: as many decimals as the spread deserves, a true minus sign, plain percentages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

__all__ = ["NBSP", "decimals", "duration", "listed", "number", "percent", "plain", "seconds"]

NBSP = "\N{NO-BREAK SPACE}"
HUGE, TINY = 1e5, 1e-4
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals(values: Iterable[float], digits: int = 3) -> int:
    """Decimals that show `digits` significant digits of the spread of `values`; -1 asks for scientific notation."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0
    largest = max(map(abs, finite))
    spread = max(finite) - min(finite) or largest
    if spread <= 1e-9 * largest:
        spread = largest
    if largest and (largest >= HUGE or spread < TINY):
        return -1
    return max(0, digits - 1 - math.floor(math.log10(spread))) if spread else 0


def number(value: float, places: int | None = None) -> str:
    """A number with `places` decimals (None: three significant digits), an en dash where there is none.

    Negative `places` and very large or small numbers give ``1.23·10⁻⁷``; the minus sign is the typographic one.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if places is None:
        text = f"{value:.3g}"
    else:
        text = f"{value:.2e}" if places < 0 else f"{value:.{places}f}"
    if float(text) == 0:
        text = "0" if places is None or places < 0 else text.lstrip("-")
    mantissa, _, exponent = text.partition("e")
    shown = mantissa.replace("-", "−")
    return shown if not exponent else f"{shown}·10{str(int(exponent)).translate(SUPERSCRIPT)}"


def percent(value: float, places: int = 1) -> str:
    """A share as a percentage."""
    return "–" if math.isnan(value) else f"{number(100 * value, places)} %"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if math.isnan(value):
        return "–"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{value * 1e6:.2g} µs"


def duration(value: float) -> str:
    """Seconds as hours, minutes and seconds, the two that matter: ``2 min 05 s``."""
    whole = max(0, round(value))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def listed(names: Sequence[object], conjunction: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    texts = [str(name) for name in names]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {conjunction} {texts[-1]}"


def plain(value: object) -> object:
    """JSON-able copy of nested dicts, lists, tuples and numpy values; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
