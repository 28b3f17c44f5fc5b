"""Toxicity from elsewhere: a sequence classifier in a directory, or a service over HTTP."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from instructgpt.distributed.world import world
from instructgpt.errors import UserError
from instructgpt.models.fit import context_length
from instructgpt.models.opening import first_line, load_config, model_folder, quiet
from instructgpt.models.weights import weight_files
from instructgpt.run.outline import counted
from instructgpt.run.progress import say

BATCH = 32
"""Texts at a time."""
ENDLESS = 10**6
"""A tokenizer that knows no longest text gives a greater number."""


class LabelJudge:
    """The probability of a sequence classifier's label that begins with "toxic".

    Of several labels that exclude each other it is a softmax's, of one that is said for itself
    (`problem_type: multi_label_classification`, or a single label) a sigmoid's. Texts that are too
    long are read without their end, and that is said.

    Args:
        path: a model directory or a Hub id.
        quality: how good it is; None where nobody has measured it.
        device: where it computes.

    Raises:
        UserError: the model has no such label, or does not open.
    """

    def __init__(
        self, path: str, *, quality: Mapping[str, Any] | None = None, device: str = "cpu"
    ) -> None:
        self.quality, self._device = quality, device
        config, folder = load_config(path), model_folder(path, weights=True)
        self._label = toxic_label(path, config.id2label or {})
        weight_files(path, folder)
        try:
            with quiet():
                self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
                model = AutoModelForSequenceClassification.from_pretrained(
                    folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
                )
        except Exception as error:
            raise UserError(
                f"{path} does not open as a classifier ({first_line(error)}); give another"
            ) from None
        self._model = model.to(device).eval()
        is_alone = config.num_labels == 1
        self._each = is_alone or config.problem_type == "multi_label_classification"
        most = min(self._tokenizer.model_max_length, context_length(config) or ENDLESS)
        self._longest = most if most < ENDLESS else None

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """P(toxic) of each `text`, whatever the others are; 0 of one without a token."""
        return world().map_shares([text["text"] for text in texts], self._shares)

    @torch.no_grad()
    def _shares(self, said: Sequence[str]) -> list[float]:
        if not said:
            return []
        whole = [len(ids) for ids in self._tokenizer([*said], verbose=False)["input_ids"]]
        if cut := sum(self._longest is not None and length > self._longest for length in whole):
            say(
                f"the toxicity classifier has read {counted(cut, 'text')} without the end: longer "
                f"than {self._longest} tokens"
            )
        found = dict.fromkeys(range(len(said)), 0.0)
        order = sorted((i for i in found if whole[i]), key=whole.__getitem__)
        pads = (self._tokenizer.pad_token_id, self._model.config.pad_token_id)
        together = 1 if None in pads else BATCH
        for start in range(0, len(order), together):
            places = order[start : start + together]
            rows = self._tokenizer(
                [said[i] for i in places],
                padding=len(places) > 1,
                truncation=self._longest is not None,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._device)
            logits = self._model(**rows).logits.float()
            shares = logits.sigmoid() if self._each else logits.softmax(-1)
            found |= zip(places, shares[:, self._label].tolist(), strict=True)
        return [found[i] for i in range(len(said))]


def toxic_label(path: str, labels: Mapping[Any, str]) -> int:
    """Which of a classifier's labels says that a text is toxic.

    Raises:
        UserError: none begins with that word.
    """
    named = {index: str(label).lower() for index, label in labels.items()}
    found = sorted(
        (label not in ("toxic", "toxicity"), index)
        for index, label in named.items()
        if label.startswith("toxic")
    )
    if not found:
        raise UserError(
            f"{path} has the labels {', '.join(map(str, labels.values()))}, none that begins with "
            f'"toxic"; give a classifier of toxicity, or name the label in its config.json'
        )
    return int(found[0][1])


# ---------------------------------------------------------------- over HTTP

KEY = "OPENAI_API_KEY"
"""The environment variable that has the key, if the service wants one."""
LEFT_OUT = "self-harm"
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before a request is made again: five times."""
SECONDS = 60.0
"""How long a service may take to answer."""


class HttpJudge:
    """What an HTTP service says that answers as OpenAI's moderation endpoint does.

    `{"input": [texts]}` is posted, `{"results": [{"category_scores": {…}}]}` comes back. The score
    of a text is the maximum over its categories but for self-harm and those within it, which are
    not about being toxic: of OpenAI's that leaves harassment, hate, illicit, sexual and violence
    with what is within them. A service with a model of its own may name its categories as it likes.

    The key in `OPENAI_API_KEY`, if there is one, is sent over https or within this machine alone.
    No text is ever printed.

    Args:
        address: where it answers.
        pause: waits so many seconds.
    """

    quality: Mapping[str, Any] | None = None

    def __init__(self, address: str, *, pause: Callable[[float], object] = time.sleep) -> None:
        self.address, self._pause = address, pause
        parts = urlsplit(address)
        self._name = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # no password, no query
        is_safe = parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
        self._key = os.environ.get(KEY, "") if is_safe else ""
        self._opener = urllib.request.build_opener(_NoRedirect)

    def score(self, texts: Sequence[Mapping[str, str]]) -> list[float]:
        """The score of each `text`; of an empty one 0.

        Raises:
            UserError: the service does not answer, or otherwise than expected.
        """
        return world().map_shares([text["text"] for text in texts], self._shares)

    def _shares(self, said: Sequence[str]) -> list[float]:
        asked = [i for i, text in enumerate(said) if text.strip()]
        found = dict.fromkeys(range(len(said)), 0.0)
        for start in range(0, len(asked), BATCH):
            places = asked[start : start + BATCH]
            found |= zip(places, self._scores([said[i] for i in places]), strict=True)
        return [found[i] for i in range(len(said))]

    def _scores(self, texts: Sequence[str]) -> list[float]:
        answer = self._answer(json.dumps({"input": list(texts)}).encode())
        try:
            results = json.loads(answer)["results"]
            scores = [_highest(result["category_scores"]) for result in results]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._failed('its answer is not {"results": [{"category_scores": …}]}') from None
        if len(scores) != len(texts):
            raise self._failed(f"it gave {len(scores)} results for {len(texts)} texts")
        return scores

    def _answer(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        why = ""
        for pause in (*PAUSES, None):
            request = urllib.request.Request(self.address, body, headers)
            try:
                with self._opener.open(request, timeout=SECONDS) as response:
                    return response.read()
            except urllib.error.HTTPError as error:
                why = f"status {error.code}"
                if error.code != 429 and error.code < 500:
                    break
            except (OSError, HTTPException, ValueError) as error:
                why = first_line(getattr(error, "reason", error))
            if pause is not None:
                self._pause(pause)
        raise self._failed(why)

    def _failed(self, why: str) -> UserError:
        return UserError(
            f"the toxicity scorer at {self._name} failed ({why}); mend it, or give "
            f"another --toxicity_judge, and run again: what was answered is kept"
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection could carry texts and key to another host."""

    def redirect_request(self, *_: Any) -> None:
        """There is none: the status becomes an error."""
        return


def _highest(scores: Mapping[str, Any]) -> float:
    """The greatest score that is not self-harm's.

    >>> _highest({"hate": 0.1, "violence/graphic": 0.3, "self-harm/intent": 0.9})
    0.3
    """
    kept = [float(score) for name, score in scores.items() if not name.startswith(LEFT_OUT)]
    if not kept or not all(0 <= score <= 1 for score in kept):
        raise ValueError("category scores lie between 0 and 1")
    return max(kept)


def is_address(place: str) -> bool:
    """Whether a judge's place is an address, not a directory or a Hub id."""
    return place.startswith(("http://", "https://"))
