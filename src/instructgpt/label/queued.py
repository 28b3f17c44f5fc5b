"""Rankings through a store: the queue of some answers, and what simulated labelers and people do
with it. The store is opened here and nowhere else of what ranks.
"""

import hashlib
from collections.abc import Iterable, Sequence

from instructgpt.data.records import Candidates, Ranking
from instructgpt.errors import UserError, placed
from instructgpt.run.outline import counted


def keys_of(candidates: Iterable[Candidates]) -> list[str]:
    """By which a store knows these answers."""
    from instructgpt.store.records import as_row, key_of

    return [key_of(as_row(queued)) for queued in candidates]


def queue_name(kind: str, candidates: Iterable[Candidates], *settings: object) -> str:
    """The name of the queue of just these answers, so that the same command finds it again."""
    digest = hashlib.sha256(repr((keys_of(candidates), settings)).encode()).hexdigest()
    return f"{kind}-{digest[:16]}"


def require_store(key: str, url: str) -> None:
    """The key must name a store that can be opened; nothing is made yet.

    Raises:
        UserError: it is no URL, or what it needs is not installed.
    """
    with placed(key):
        from instructgpt.store.engine import Database

        Database(url).close()


def hand_in(
    url: str, name: str, candidates: Sequence[Candidates], made: Sequence[Ranking]
) -> list[Ranking]:
    """Hand rankings in through the store's door, each by its labeler; goes on where it stopped.

    Args:
        url: of the store.
        name: of the queue.
        candidates: what is ranked.
        made: the rankings: equally many of each candidates, in their order.

    Returns:
        What the store then has, in the order of `made`.

    Raises:
        UserError: the store cannot be used.
    """
    from instructgpt.store import Store

    overlap = len(made) // len(candidates)
    keys = [key for key in keys_of(candidates) for _ in range(overlap)]
    with Store.open(url) as store:
        store.queue(candidates, overlap=overlap, name=name)
        for key, ranking in zip(keys, made, strict=True):
            if assignment := store.claim(ranking.labeler_id or "", queue=name, only=key):
                store.submit(assignment, ranking)
        kept = {(key, ranking.labeler_id): ranking for key, ranking in store.rankings(name)}
    asked = [(key, ranking.labeler_id) for key, ranking in zip(keys, made, strict=True)]
    return [kept[one] for one in asked if one in kept]  # what was erased is missing


def rankings_by_people(url: str, candidates: Sequence[Candidates], overlap: int) -> list[Ranking]:
    """The rankings of these answers by people, who find them in a queue of the store; in the order
    of the answers, then of the labelers' names.

    Raises:
        UserError: some answers have fewer than `overlap` yet: the same command goes on when they
            have them.
    """
    from instructgpt.store import Store

    name = queue_name("people", candidates, overlap)
    with Store.open(url) as store:
        store.queue(candidates, overlap=overlap, name=name)
        done, tasks, _ = store.progress(name)
        if done < tasks:
            raise UserError(
                f"rank: people have ranked {done} of {counted(tasks, 'prompt')} {overlap} times, "
                f"in the queue {name} of {store.database.name}; run the same command again when "
                "they have ranked all"
            )
        return [ranking for _, ranking in store.rankings(name)]
