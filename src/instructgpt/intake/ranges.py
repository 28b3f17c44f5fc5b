"""Sorted texts and their common prefixes: which stretch of the sorted list shares how much."""

from collections.abc import Sequence


def common_prefix(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning.

    >>> common_prefix("abcde", "abxde"), common_prefix("abc", "abcde")
    (2, 3)
    """
    least, most = 0, min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    while most - least > 1:  # the first `least` are equal, the first `most` are not
        middle = (least + most) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle
    return least


def stretches(shared: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, int]]:
    """For each place of a sorted list, the first and last place whose texts share so much with it.

    Between two places of a sorted list, the common prefix is the least of those between neighbors.
    So neighbors are joined from the most that any share to the least, and a place's stretch is what
    is joined with it when all neighbors that share as much as it wants have been.

    Args:
        shared: between each place and the next, one less than there are places.
        wanted: of each place.

    >>> stretches([5, 2], [3, 4, 2])
    [(0, 1), (0, 1), (0, 2)]
    """
    count = len(wanted)
    parent, last = list(range(count)), list(range(count))

    def first(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    edges = sorted(range(count - 1), key=lambda place: -shared[place])
    found, joined = [(0, 0)] * count, 0
    for place in sorted(range(count), key=lambda place: -wanted[place]):
        while joined < len(edges) and shared[edges[joined]] >= wanted[place]:
            left, right = first(edges[joined]), edges[joined] + 1
            parent[right], last[left] = left, last[right]
            joined += 1
        left = first(place)
        found[place] = left, last[left]
    return found


class Oldest:
    """The oldest that stands in a stretch of places; whoever comes later is younger."""

    def __init__(self, count: int) -> None:
        self._size = 1 << max(0, count - 1).bit_length()
        self._tree: list[int | None] = [None] * (2 * self._size)

    def add(self, place: int, who: int) -> None:
        """Let somebody stand at a place; numbers rise from one call to the next."""
        node = place + self._size
        while node and self._tree[node] is None:  # above one that has an older there is an older
            self._tree[node] = who
            node //= 2

    def within(self, left: int, right: int) -> int | None:
        """Who is the oldest from `left` to `right`; None where nobody stands."""
        found: list[int] = []
        left, right = left + self._size, right + self._size + 1
        while left < right:
            for node, is_inside in ((left, left & 1), (right - 1, right & 1)):
                if is_inside and (who := self._tree[node]) is not None:
                    found.append(who)
            left, right = (left + 1) // 2, right // 2
        return min(found, default=None)


class Painted:
    """Places that somebody claims: the first to claim a place keeps it."""

    def __init__(self, count: int) -> None:
        self._next = list(range(count + 1))  # the first free place from here
        self._owner: list[int | None] = [None] * count

    def claim(self, left: int, right: int, who: int) -> None:
        """Claim what is free from `left` to `right`."""
        place = self._free(left)
        while place <= right:
            self._owner[place], self._next[place] = who, place + 1
            place = self._free(place + 1)

    def owner(self, place: int) -> int | None:
        """Whose a place is."""
        return self._owner[place]

    def _free(self, place: int) -> int:
        chain = []
        while self._next[place] != place:
            chain.append(place)
            place = self._next[place]
        for one in chain:
            self._next[one] = place
        return place
