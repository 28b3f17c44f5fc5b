"""How the steps get at the texts of a store, and what was found in them, once for each version."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from instructgpt.intake.detecting import (
    Detector,
    Language,
    PersonalData,
    Tokens,
    Wanted,
    detect,
)
from instructgpt.intake.entry import normal
from instructgpt.intake.rules import Rules
from instructgpt.intake.texts import whole_text
from instructgpt.run.progress import PLAIN_EVERY_SECONDS, say
from instructgpt.store.intake import Intake

KEEP = 5_000
"""Findings of a transaction."""


class StoreLook:
    """Texts and findings of a store.

    Args:
        intake: the store's.
        tokenizer: of the model that counts tokens.
    """

    def __init__(self, intake: Intake, tokenizer: str = "") -> None:
        self._intake = intake
        self._makers = (partial(Tokens, tokenizer), PersonalData, Language)
        self._made: dict[int, Detector] = {}

    def open(self, rules: Rules) -> None:
        """Open what an intake by these rules needs, so that what is missing is missed first.

        Raises:
            UserError: the tokenizer cannot be opened, or a package is not installed.
        """
        for number, is_needed in enumerate((rules.tokenizer, rules.pii != "none", True)):
            if is_needed:
                self._detector(number)

    def normal(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        """The normal forms of some prompts."""
        return ((key, normal(whole_text(row))) for key, row in self._intake.rows(keys))

    def found(
        self, tokens: Collection[str], pii: Collection[str], language: Collection[str]
    ) -> tuple[Mapping[str, int], Mapping[str, Any], Mapping[str, Any]]:
        """What the detectors find in some prompts."""
        asked = (tokens, pii, language)
        needed = [number for number, keys in enumerate(asked) if keys]
        found = self._found([asked[number] for number in needed], needed)
        all_found: list[dict[str, Any]] = [{}, {}, {}]
        for number, one in zip(needed, found, strict=True):
            all_found[number] = one
        return cast("Any", tuple(all_found))

    def _found(
        self, asked: Sequence[Collection[str]], numbers: Sequence[int]
    ) -> list[dict[str, Any]]:
        """What each detector found in the prompts it is asked about, and in others before."""
        detectors = [self._detector(number) for number in numbers]
        makers = [self._makers[number] for number in numbers]
        known = [self._intake.found(detector.version) for detector in detectors]
        missing = [
            {key for key in keys if key not in own} for keys, own in zip(asked, known, strict=True)
        ]
        everyone = set[str]().union(*missing)
        waiting: list[tuple[str, str, Any]] = []
        done, told = 0, time.monotonic()
        for found in detect(self._wanted(everyone, missing), detectors, makers):
            for key, number, finding in found:
                known[number][key] = finding
                waiting.append((key, detectors[number].version, finding))
            done += len({key for key, _, _ in found})
            if len(waiting) >= KEEP:
                self._intake.keep(waiting)
                waiting = []
            if time.monotonic() - told > PLAIN_EVERY_SECONDS:
                told = time.monotonic()
                say(f"{done:,} of {len(everyone):,} prompts read")
        if waiting:
            self._intake.keep(waiting)
        return known

    def _detector(self, number: int) -> Detector:
        if number not in self._made:
            self._made[number] = self._makers[number]()
        return self._made[number]

    def _wanted(self, keys: Iterable[str], missing: Sequence[Collection[str]]) -> Iterator[Wanted]:
        for key, row in self._intake.rows(keys):
            yield Wanted(key, row, [n for n, those in enumerate(missing) if key in those])
