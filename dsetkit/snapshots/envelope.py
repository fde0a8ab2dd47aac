"""The document ``snapshot.json`` as bytes, and the envelope of a sealed one around its body.

A sealed ``snapshot.json`` is a ``SealedSnapshot``: in the clear stage, domain, epoch and all files as they lie there;
``body`` is base64 of the sealed bytes of just the document that a plain snapshot would have, with the names, digests
and sizes of the sealed files in it; where there are facets, of its base (``base_info``). There is one form to the byte,
and no other is taken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType

from dsetkit.errors import AccessError, TamperError
from dsetkit.snapshots.facet_document import body_name
from dsetkit.snapshots.naming import SNAPSHOT
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.sealed import SealedFacet, SealedFile, SealedSnapshot, Seals
from dsetkit.spec.snapshot import Counts, Part, SealedColumns, SnapshotInfo

StoredFile = Part | SealedFile
"""A file as it lies there: name, digest and size."""

BEGINNING = b'{\n  "format": 1,\n  "sealed": {\n'
"""How a sealed document begins."""

_HINT = "Fetch it again (under DVC: dvc checkout); if it stays so, somebody altered it: build it again."


def to_json(document: SnapshotInfo | SealedSnapshot) -> bytes:
    """``snapshot.json``: keys sorted, indented by 2, ending in a newline; fields at their defaults left out.

    ``format`` and all counts are always there.
    """
    fields = document.model_dump(mode="json", exclude_defaults=True)
    fields["format"] = document.format
    if isinstance(document, SnapshotInfo):
        fields["counts"] = document.counts.model_dump(mode="json")
    return (json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def files_of(info: SnapshotInfo) -> tuple[Part, ...]:
    """All files but ``snapshot.json``."""
    return (*info.parts, *info.shards, *(() if info.rejected is None else (info.rejected,)))


def files_of_seals(seals: Seals) -> tuple[SealedFile, ...]:
    """All files of a sealed snapshot but ``snapshot.json``; those of facets too."""
    return (*seals.files, *(file for name in sorted(seals.facets) for file in seals.facets[name].files))


_TELLING_NOTHING = (
    "stage",
    "name",
    "categories",
    "licenses",
    "schema_",
    "versions",
    "shard_target_bytes",
    "channel_statistics",
    "parts",
    "shards",
)
"""What ``SnapshotInfo`` says that does not follow from what facets protect. Parents' fingerprints and the digest of
params (which is of corrections, too) would let guesses be tried; what sources say of themselves, what was changed and
what was found can be of any row."""


def base_info(
    info: SnapshotInfo, *, counts: Counts, fingerprint: str, rejected: Part, facets: tuple[SealedColumns, ...]
) -> SnapshotInfo:
    """What those are told of a snapshot who read none of its facets: the same, whatever these protect.

    ``counts``, ``fingerprint`` and ``rejected`` are those of its base rows.
    """
    told = {name: getattr(info, name) for name in _TELLING_NOTHING}
    added, annotations = counts.added_samples, counts.annotations - counts.added_annotations
    settled = {
        "samples_in": counts.samples - added + counts.rejected_samples,
        "annotations_in": annotations + counts.rejected_annotations,
        "per_change": {},
    }
    own = counts.model_copy(update=settled)
    return SnapshotInfo(**told, counts=own, fingerprint=fingerprint, rejected=rejected, facets=facets)


def seal_document(info: SnapshotInfo, seal: Seal, facets: Mapping[str, SealedFacet] = MappingProxyType({})) -> bytes:
    """``snapshot.json`` of a sealed snapshot; with facets, ``info`` is its base.

    Raises ``pydantic.ValidationError`` for a name that is no stage's.
    """
    body = seal.seal_file("snapshot", body_name(info.name, facets), to_json(info))
    seals = Seals(
        project=seal.project,
        stage=info.name,
        domain=seal.domain,
        epoch=seal.epoch,
        padding=seal.padding,
        body=base64.b64encode(body).decode("ascii"),
        files=tuple(
            SealedFile(name=part.name, digest=part.digest, size_bytes=part.size_bytes) for part in files_of(info)
        ),
        facets=dict(facets),
    )
    return to_json(SealedSnapshot(sealed=seals))


def open_body(seals: Seals, seal: Seal, url: str) -> bytes:
    """The document in an envelope, as bytes. Raises ``TamperError``."""
    try:
        stored = base64.b64decode(seals.body, validate=True)
    except ValueError:
        stored = b""
    if base64.b64encode(stored).decode("ascii") != seals.body:
        raise altered(url, "its body is no base64")
    return seal.open_file("snapshot", body_name(seals.stage, seals.facets), stored)


def check_envelope(seals: Seals, info: SnapshotInfo, url: str) -> None:
    """Whether the envelope says what its body says. Raises ``TamperError``."""
    if info.name != seals.stage:
        raise altered(url, f"its envelope says that it is {seals.stage}, its body says {info.name}")
    if [_facts(file) for file in seals.files] != [_facts(part) for part in files_of(info)]:
        raise altered(url, "its envelope does not name the files that its body names")


def altered(url: str, what: str) -> TamperError:
    """The error for an envelope that is not what was sealed."""
    return TamperError(f"{SNAPSHOT} of {url} cannot be believed: {what}", subject=SNAPSHOT, hint=_HINT)


def lacks_keys(url: str, seals: Seals) -> AccessError:
    """The error for a sealed snapshot that was opened without keys."""
    return AccessError(
        f"{url} is sealed (domain {seals.domain}, epoch {seals.epoch}, stage {seals.stage})",
        subject=seals.stage,
        hint="Set DSETKIT_IDENTITY to your identity file; if you have none, or it may not read this, ask an admin of "
        "the project.",
    )


def _facts(file: StoredFile) -> tuple[str, str, int]:
    return file.name, file.digest, file.size_bytes
