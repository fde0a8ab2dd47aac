"""Which samples kept their picture under a new key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from dsetkit.spec.key import sort_key

_Digests = Mapping[str, str | None]


def find_renamed(old: _Digests, new: _Digests) -> list[tuple[str, str]]:
    """Pairs (old key, new key) of samples with the same picture, sorted by new key.

    ``old`` and ``new`` give the digests of the samples that differ at all, by key. Of several samples with one digest
    those with the same file name are paired first, the others in the order of their keys. First, keys that only one
    side has. Then chains: where pictures were numbered anew (2 became 3, and 3 became 4), or changed places, keys that
    both sides have are renamed too, if it is known both where the old picture went and where the new one came from.
    Asked the other way round it gives the same pairs turned round.
    """
    gone = {key: digest for key, digest in old.items() if key not in new}
    come = {key: digest for key, digest in new.items() if key not in old}
    pairs = _zip(gone, come)
    both = [key for key in old if key in new and None not in (old[key], new[key]) and old[key] != new[key]]
    if both:
        went, came = {a for a, _ in pairs}, {b for _, b in pairs}
        sources = {key: digest for key, digest in gone.items() if key not in went}
        targets = {key: digest for key, digest in come.items() if key not in came}
        sources.update((key, old[key]) for key in both)
        targets.update((key, new[key]) for key in both)
        pairs += _explained(_zip(sources, targets), both)
    return sorted(pairs, key=lambda pair: sort_key(pair[1]))


def _explained(links: list[tuple[str, str]], both: Iterable[str]) -> list[tuple[str, str]]:
    """The links, without those at a key of ``both`` whose old picture went nowhere, or whose new one came from nowhere.

    A link that is taken away takes the next one of its chain with it.
    """
    onward, back = dict(links), {b: a for a, b in links}
    loose = [key for key in both if (key in onward) != (key in back)]
    shared = set(both)
    while loose:
        key = loose.pop()
        target, source = onward.pop(key, None), back.pop(key, None)
        if target is not None:
            back.pop(target, None)
            if target in shared:
                loose.append(target)
        if source is not None:
            onward.pop(source, None)
            if source in shared:
                loose.append(source)
    return list(onward.items())


def _zip(old: _Digests, new: _Digests) -> list[tuple[str, str]]:
    """Keys of equal digests, paired: those with the same file name first, then in key order."""
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    wanted = set(old.values()) & set(new.values())
    for side, digests in enumerate((old, new)):
        for key in sorted(digests, key=sort_key):
            digest = digests[key]
            if digest is not None and digest in wanted:
                groups[digest][side].append(key)
    pairs: list[tuple[str, str]] = []
    for gone, come in groups.values():
        if len(gone) > 1 or len(come) > 1:
            for name in sorted({_name(key) for key in gone} & {_name(key) for key in come}):
                named = [[key for key in side if _name(key) == name] for side in (gone, come)]
                found = list(zip(*named, strict=False))
                went, came = {a for a, _ in found}, {b for _, b in found}
                gone, come = [key for key in gone if key not in went], [key for key in come if key not in came]
                pairs += found
        pairs += zip(gone, come, strict=False)
    return pairs


def _name(key: str) -> str:
    return key.rpartition("/")[2]
