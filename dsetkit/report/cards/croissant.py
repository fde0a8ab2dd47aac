"""``croissant.json``: a snapshot told to machines and to search engines for datasets.

Croissant 1.1 (http://mlcommons.org/croissant/1.1) with the vocabulary for responsible AI
(http://mlcommons.org/croissant/RAI/1.0), over schema.org/Dataset. What the card does not state is left out.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from dsetkit.imaging.media import extension_of
from dsetkit.report.cards.licenses import license_url
from dsetkit.report.cards.records import has_pictures, record_sets
from dsetkit.report.cards.text import describe, title_of
from dsetkit.report.facts.collect import SnapshotFacts
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.card import CardLicense, DatasetCard, Party
from dsetkit.spec.snapshot import Part

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that Croissant 1.1 recommends, and the one prefix of its vocabulary for responsible AI."""


def croissant(card: DatasetCard, snapshot: Snapshot, facts: SnapshotFacts, *, place: str) -> bytes:
    """The document's bytes, UTF-8, the same for the same card and snapshot.

    ``place``: the snapshot's folder as seen from the folder of the card, ``../../data/cleaned``. ``<`` is written
    ``\\u003c``, so that the document can stand in the script element of a web page.
    """
    document = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": title_of(card, facts.info),
        "description": describe(card, facts),
        "conformsTo": CONFORMS_TO,
        "license": _license(card.license),
        "url": card.url,
        "creator": [_party(party) for party in card.creators],
        "maintainer": [_party(party) for party in card.contacts],
        "datePublished": card.published,
        "version": card.version or None,
        "keywords": list(card.keywords),
        "inLanguage": list(card.languages),
        "citeAs": card.citation or None,
        "isBasedOn": list(card.based_on),
        "identifier": f"sha256:{facts.info.fingerprint}",
        **_responsibility(card, facts),
        "distribution": list(_distribution(snapshot, facts, place)),
        "recordSet": record_sets(snapshot, facts),
    }
    stated = {"isLiveDataset": False, **{name: value for name, value in document.items() if value not in (None, [])}}
    ordered = {name: stated[name] for name in [*document, "isLiveDataset"] if name in stated}
    text = json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return (text + "\n").encode("utf-8", "replace")


def _party(party: Party) -> dict[str, str]:
    kinds = {"person": "sc:Person", "organization": "sc:Organization"}
    facts = {"@type": kinds[party.kind], "name": party.name, "email": party.email, "url": party.url}
    return {name: value for name, value in facts.items() if value is not None}


def _license(license: CardLicense) -> str | dict[str, str] | None:
    """Its address where there is one; else a named work."""
    url = license_url(license)
    name = license.name or license.id
    return url or ({"@type": "sc:CreativeWork", "name": name} if name else None)


def _responsibility(card: DatasetCard, facts: SnapshotFacts) -> dict[str, Any]:
    """The RAI properties, in the spelling of its specification."""
    gathered, labelled = card.collection, card.annotation
    about = {
        "dataCollection": " ".join(text for text in (gathered.how, gathered.by) if text),
        "dataCollectionType": list(gathered.types),
        "dataCollectionTimeframe": [day for day in (gathered.start, gathered.end) if day],
        "dataCollectionRawData": gathered.raw_data,
        "dataCollectionMissingData": gathered.missing,
        "dataPreprocessingProtocol": list(_changes(facts)),
        "dataAnnotationProtocol": "\n".join(text for text in (labelled.how, labelled.guidelines) if text),
        "dataAnnotationPlatform": labelled.platform,
        "dataAnnotationAnalysis": labelled.analysis,
        "annotationsPerItem": labelled.per_item,
        "annotatorDemographics": labelled.annotators,
        "machineAnnotationTools": list(labelled.machine_tools),
        "personalSensitiveInformation": [text for text in (card.personal_information, card.consent) if text],
        "dataLimitations": [*card.limits, *(f"Not to be used for: {use}" for use in card.out_of_scope)],
        "dataBiases": list(card.biases),
        "dataSocialImpact": card.social_impact,
        "dataUseCases": list(card.uses),
        "dataReleaseMaintenancePlan": card.maintenance,
    }
    return {f"rai:{name}": value or None for name, value in about.items()}


def _changes(facts: SnapshotFacts) -> Iterator[str]:
    """What was turned away and what was changed, as counted."""
    for noun, counts in (("samples", facts.rejected_samples), ("annotations", facts.rejected_annotations)):
        for reason, number in sorted(counts.items()):
            yield f"{number} {noun} turned away: {reason}"
    for change, number in sorted(facts.info.counts.per_change.items()):
        yield f"{number} changed: {change}"


def _distribution(snapshot: Snapshot, facts: SnapshotFacts, place: str) -> Iterator[dict[str, Any]]:
    """Every file with its digest, then the two sets that records are read from."""
    info = facts.info
    document = snapshot.folder.read("snapshot.json")
    digest = hashlib.sha256(document).hexdigest()
    yield {
        "@type": "cr:FileObject",
        "@id": "snapshot",
        "name": "snapshot",
        # The one way in which mlcroissant reads columns of many files is to find them in a repository, a folder that
        # is there already; it takes a folder for one by this format.
        "description": "The snapshot's folder; the digest is that of its snapshot.json, which names all its files.",
        "contentUrl": _url(place, ""),
        "encodingFormat": ["inode/directory", "git+https"],
        "sha256": digest,
    }
    yield _file(place, Part(name="snapshot.json", digest=digest, size_bytes=len(document), rows=0), "application/json")
    for part in info.parts:
        yield _file(place, part, "application/x-parquet")
    if info.rejected is not None:
        yield _file(place, info.rejected, "application/x-parquet")
    for shard in info.shards:
        yield _file(place, shard, "application/x-tar")
    yield {
        "@type": "cr:FileSet",
        "@id": "sample-files",
        "name": "sample-files",
        "description": "The manifest: one row a sample, sorted by key within a file.",
        "containedIn": {"@id": "snapshot"},
        "encodingFormat": "application/x-parquet",
        "includes": "samples/*.parquet",
    }
    if has_pictures(facts):
        media_types = [name for name in sorted(facts.media_types) if "/" in name]
        yield {
            "@type": "cr:FileSet",
            "@id": "picture-files",
            "name": "picture-files",
            "description": "The pictures in the shards, each named by the SHA-256 of its bytes.",
            "containedIn": [{"@id": part.name} for part in info.shards],
            "encodingFormat": media_types,
            "includes": sorted({f"*{extension_of(name)}" for name in media_types}),
        }


def _file(place: str, part: Part, media_type: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": part.name,
        "name": part.name,
        "contentUrl": _url(place, part.name),
        "contentSize": f"{part.size_bytes} B",
        "encodingFormat": media_type,
        "sha256": part.digest,
    }


def _url(place: str, name: str) -> str:
    """A relative address; the names of a snapshot's files need no quoting, folders may."""
    return quote(posixpath.join(place, name).rstrip("/") if name else place)
