"""The documents of facets: what the tables of each layer are, sealed by its keys, in the envelope of the snapshot.

A document says which body it belongs to by the SHA-256 of its plain bytes, and the body is sealed under a name that has
the digest of all facets of the envelope in it. So neither opens beside another: no facet can be swapped, dropped or put
back. The plain body itself depends on nothing that a facet protects.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import Field, ValidationError

from dsetkit.errors import TamperError
from dsetkit.snapshots.facets import Facets, layer_seal
from dsetkit.snapshots.naming import FACET_TABLE
from dsetkit.snapshots.sealing import Keys, Seal
from dsetkit.spec.base import Digest, Document, JsonObject, canonical_json, digest_of
from dsetkit.spec.sealed import SealedFacet, SealedFile, Seals
from dsetkit.spec.snapshot import MAX_JSON_VALUES, Part, SealedColumns, SnapshotInfo, count_values

_SHARED = ("parts", "shards")
"""What the whole document and its base have alike, and so is not said twice."""


class LayerDocument(Document):
    """What one layer is."""

    layer: str
    """Its facets, joined by ``+``."""
    base: Digest
    """SHA-256 of the plain bytes of the body it belongs to."""
    columns: tuple[str, ...] = ()
    """What it holds: of ``Sample``, nested ones by dots, and ``original_key``."""
    parts: dict[str, Part] = Field(default_factory=dict)
    """Name of a part of the manifest → the table of this layer beside it, row by row."""
    joined: dict[str, str] = Field(default_factory=dict)
    """Layers of several facets whose first is this one → base64 of their sealed documents."""
    info: JsonObject | None = None
    """Of the layer of all facets: the ``SnapshotInfo`` of the whole, without what its base says too."""


class Layer(NamedTuple):
    """A layer that can be read."""

    name: str
    seal: Seal
    columns: tuple[str, ...]
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class OpenFacets:
    """The facets of an open snapshot, as far as they can be read."""

    hidden: tuple[SealedColumns, ...] = ()
    """Those that cannot."""
    layers: tuple[Layer, ...] = ()
    """Those of fewer facets first: what is in later ones may be fields of what is in them."""
    info: SnapshotInfo | None = None
    """What the snapshot means whole; None where a facet is hidden."""

    @property
    def top(self) -> Seal | None:
        """The keys of all facets together."""
        return self.layers[-1].seal if self.info is not None else None

    def files(self) -> Iterator[Part]:
        """The tables of the layers."""
        for layer in self.layers:
            yield from layer.parts.values()


@dataclass
class BuiltLayer:
    """A layer as it was written."""

    columns: set[str] = field(default_factory=set)
    parts: dict[str, Part] = field(default_factory=dict)


def body_name(stage: str, facets: Mapping[str, SealedFacet]) -> str:
    """What the body of a snapshot is bound to: its stage, and all that its envelope says of facets."""
    if not facets:
        return stage
    return f"{stage}+{digest_of({name: facet.model_dump(mode='json') for name, facet in facets.items()})}"


def seal_facets(
    facets: Facets, layers: Mapping[str, BuiltLayer], info: SnapshotInfo, base: bytes
) -> dict[str, SealedFacet]:
    """The facets of an envelope. ``info``: what the snapshot means whole; ``base``: the plain bytes of its body."""
    told = info.model_dump(mode="json", exclude_defaults=True, exclude=set(_SHARED))
    told["counts"] = info.counts.model_dump(mode="json")
    joined: dict[str, dict[str, str]] = {}
    bodies: dict[str, str] = {}
    names = [spec.name for spec in facets.specs]
    for layer in sorted({*layers, *names, facets.top}, key=lambda layer: (-layer.count("+"), layer)):
        built = layers.get(layer, BuiltLayer())
        document = LayerDocument(
            layer=layer,
            base=hashlib.sha256(base).hexdigest(),
            columns=tuple(sorted(built.columns)),
            parts=dict(sorted(built.parts.items())),
            joined=joined.get(layer, {}),
            info=told if layer == facets.top else None,
        )
        data = canonical_json(document.model_dump(mode="json", exclude_defaults=True)).encode()
        sealed = base64.b64encode(facets.seal(layer).seal_file("facet", f"{info.name} {layer}", data)).decode("ascii")
        if "+" in layer:
            joined.setdefault(layer.partition("+")[0], {})[layer] = sealed
        else:
            bodies[layer] = sealed
    files: dict[str, list[SealedFile]] = {name: [] for name in names}
    tables = [(layer, part) for layer, built in sorted(layers.items()) for part in built.parts.values()]
    if info.rejected is not None:
        tables.append((facets.top, info.rejected))
    for layer, part in tables:
        files[layer.partition("+")[0]].append(_stored(part))
    return {
        spec.name: SealedFacet(
            domain=spec.seal.domain,
            epoch=spec.seal.epoch,
            body=bodies[spec.name],
            files=tuple(sorted(files[spec.name], key=lambda file: file.name)),
        )
        for spec in facets.specs
    }


def open_facets(seals: Seals, base: SnapshotInfo, body: bytes, keys: Keys, url: str) -> OpenFacets:
    """What these keys read of the facets. ``body``: the plain bytes of ``base``.

    Raises ``TamperError`` for documents that do not belong to it, ``AccessError`` where a keyring is not there.
    """
    notes = {note.name: note for note in base.facets}
    if list(notes) != sorted(seals.facets) or len(notes) < len(base.facets):
        raise _altered(url, "its envelope does not have the facets that its body names")
    if not notes:
        return OpenFacets()
    held = {name: seal for name in notes if (seal := keys.facet(seals, name)) is not None}
    digest = hashlib.sha256(body).hexdigest()
    found: list[tuple[LayerDocument, Seal]] = []
    for name, seal in held.items():
        document = _open(seals, name, seals.facets[name].body, seal, digest, url)
        found.append((document, seal))
        for layer, sealed in document.joined.items():
            names = layer.split("+")
            if names[0] != name or names != sorted(set(names)) or not set(names) <= notes.keys():
                raise _altered(url, f"the facet {name} names a layer {layer[:80]!r}, which cannot be")
            if set(names) <= held.keys():
                own = layer_seal(layer, held)
                found.append((_open(seals, layer, sealed, own, digest, url), own))
    found.sort(key=lambda item: (item[0].layer.count("+"), item[0].layer))
    info = None
    if len(held) == len(notes):
        info = _whole(found[-1][0], "+".join(notes), base, url)
    for document, _ in found:
        _check_parts(document, base, info, seals, url)
    return OpenFacets(
        hidden=tuple(note for name, note in notes.items() if name not in held),
        layers=tuple(Layer(doc.layer, seal, doc.columns, doc.parts) for doc, seal in found),
        info=info,
    )


def _open(seals: Seals, layer: str, sealed: str, seal: Seal, digest: str, url: str) -> LayerDocument:
    try:
        stored = base64.b64decode(sealed, validate=True)
    except ValueError:
        stored = b""
    data = seal.open_file("facet", f"{seals.stage} {layer}", stored)
    if count_values(data) > MAX_JSON_VALUES:
        raise _altered(url, f"the facet {layer} has more than {MAX_JSON_VALUES:,} values")
    try:
        document = LayerDocument.model_validate_json(data)
    except ValidationError:
        raise _altered(url, f"the facet {layer} cannot be read") from None
    if document.layer != layer or document.base != digest:
        raise _altered(url, f"the facet {layer} is that of another snapshot")
    return document


def _whole(document: LayerDocument, top: str, base: SnapshotInfo, url: str) -> SnapshotInfo:
    """What the snapshot means whole."""
    if document.layer != top or document.info is None:
        raise _altered(url, "its facets do not say what it means whole")
    try:
        info = SnapshotInfo.model_validate({**document.info, **{name: getattr(base, name) for name in _SHARED}})
    except ValidationError:
        raise _altered(url, "what its facets say of it is no snapshot") from None
    facts = [
        (it.name, it.stage, it.categories, it.facets, it.counts.samples, it.shard_target_bytes) for it in (info, base)
    ]
    if facts[0] != facts[1]:
        raise _altered(url, "its facets say other things of it than its body")
    return info


def _check_parts(
    document: LayerDocument, base: SnapshotInfo, info: SnapshotInfo | None, seals: Seals, url: str
) -> None:
    """Each table of a layer is beside a part, has as many rows, and is in the envelope."""
    rows = {part.name: part.rows for part in base.parts}
    there = {file.name: file for file in seals.facets[document.layer.partition("+")[0]].files}
    tables: Sequence[tuple[Part, int | None]] = [(part, rows.get(name, -1)) for name, part in document.parts.items()]
    if document.info is not None and info is not None and info.rejected is not None:
        tables = [*tables, (info.rejected, None)]
    for part, count in tables:
        named = FACET_TABLE.match(part.name)
        if named is None or named[1] != document.layer or there.get(part.name) != _stored(part):
            raise _altered(url, f"{part.name[:200]!r} cannot be a table of the facet {document.layer}")
        if part.rows < 0 or (count is not None and part.rows != count):
            raise _altered(url, f"{part.name} does not have the rows that it is beside")


def _stored(part: Part) -> SealedFile:
    return SealedFile(name=part.name, digest=part.digest, size_bytes=part.size_bytes)


def _altered(url: str, what: str) -> TamperError:
    return TamperError(
        f"snapshot.json of {url} cannot be believed: {what}",
        subject="snapshot.json",
        hint="Fetch it again (under DVC: dvc checkout); if it stays so, somebody altered it: build it again.",
    )
