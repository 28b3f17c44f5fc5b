"""Values of JSON that may be missing or of another type: each is read, or left out."""

import sys
from dataclasses import dataclass
from typing import Any, TypeGuard

Json = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, and of how many: an accuracy, a win rate, a mean score."""

    value: float
    low: float
    high: float
    n: int | None

    @classmethod
    def parse(cls, raw: object) -> "Estimate | None":
        """Read `{"estimate", "low", "high", "n"}`; None where no finite estimate stands."""
        if not isinstance(raw, dict) or not is_finite(raw.get("estimate")):
            return None
        value, n = float(raw["estimate"]), raw.get("n")
        low, high = (
            float(end) if is_finite(end := raw.get(side)) else value for side in ("low", "high")
        )
        return cls(value, low, high, int(n) if is_finite(n) else None)

    def overlaps(self, other: "Estimate") -> bool:
        """Do the two intervals have a value in common?"""
        return self.low <= other.high and other.low <= self.high


def estimates(raw: object) -> dict[str, Estimate]:
    """The entries of a JSON object that are estimates, by name."""
    parsed = {str(name): Estimate.parse(value) for name, value in as_dict(raw).items()}
    return {name: estimate for name, estimate in parsed.items() if estimate}


def is_number(value: object) -> TypeGuard[float]:
    """Is this a JSON number (NaN and the infinities included, booleans not)?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Is this a JSON number that can be drawn?"""
    return is_number(value) and abs(value) <= sys.float_info.max


def as_dict(value: object) -> Json:
    """The JSON object, or an empty one where something else stands."""
    return value if isinstance(value, dict) else {}


def as_dicts(value: object) -> list[Json]:
    """The objects of a JSON array."""
    return [item for item in (value if isinstance(value, list) else []) if isinstance(item, dict)]


def as_texts(value: object) -> list[str]:
    """The texts of a JSON array; a text alone is an array of one."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item]
