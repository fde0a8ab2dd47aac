"""What labels that are taken from a snapshot lack, where facets of it are sealed to whoever takes them."""

from __future__ import annotations

from dsetkit.formats.loss import EXAMPLES, Loss
from dsetkit.snapshots.facets import covers
from dsetkit.snapshots.read import Snapshot


def sealed_losses(snapshot: Snapshot) -> tuple[Loss, ...]:
    """What an export of a snapshot or selection lacks because facets of it are not read: a loss for each facet.

    ``labels-sealed`` where rows appear without labels that they may have, ``columns-sealed`` as an info for the rest.
    """
    if not snapshot.hidden:
        return ()
    table = snapshot.column(("key", "split"))
    rows = list(zip(table["key"].to_pylist(), table["split"].to_pylist(), strict=True))
    found = []
    for facet in snapshot.hidden:
        keys = [key for key, split in rows if covers(facet, split)]
        if not keys:
            continue
        examples = tuple(keys[:EXAMPLES])
        columns = ", ".join(facet.columns)
        if "annotations" in facet.columns:
            message = f"labels are sealed in the facet {facet.name}, which is not read here; samples appear unlabelled"
            found.append(Loss(code="labels-sealed", message=message, count=len(keys), examples=examples))
        else:
            message = f"{columns} are sealed in the facet {facet.name}, which is not read here; they are left out"
            found.append(
                Loss(code="columns-sealed", message=message, severity="info", count=len(keys), examples=examples)
            )
    return tuple(found)
