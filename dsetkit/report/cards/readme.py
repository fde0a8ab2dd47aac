"""``README.md``: a snapshot told to people, by the conventions of Hugging Face dataset cards.

What is counted comes from the facts, what only people know from ``DatasetCard``; what nobody stated reads so.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Sequence

from dsetkit.report.cards.composition import composition
from dsetkit.report.cards.header import header
from dsetkit.report.cards.licenses import license_name, license_url
from dsetkit.report.cards.text import NOT_STATED, block, fenced, inline, title_of
from dsetkit.report.facts.collect import SnapshotFacts
from dsetkit.report.words import counted
from dsetkit.spec.card import DatasetCard, Party

_ORIGIN = "<!-- Made by dsetkit report. Change the section `card` of params.yaml, not this file; then: dvc repro. -->"
_EXPORTED = "<!-- Made by dsetkit export. -->"


def readme(card: DatasetCard, facts: SnapshotFacts, *, place: str, download_bytes: int) -> bytes:
    """The document's bytes, UTF-8, the same for the same card and facts.

    ``place``: the snapshot's folder as seen from the folder of the card, ``../../data/cleaned``. ``download_bytes``: of
    all the snapshot's files.
    """
    body = _body(card, facts, _overview(facts), composition(facts), _loading(place))
    return _document([header(card, facts, download_bytes=download_bytes), _ORIGIN, *body])


def export_readme(card: DatasetCard, facts: SnapshotFacts, *, fingerprint: str, format: str) -> bytes:
    """As ``readme``, for an export in a label format of what ``facts`` count and ``fingerprint`` names."""
    about = (
        f"An export as `{format}` of samples of a snapshot, counted there. {_overview(facts)} "
        "An export carries the annotations that were accepted, and of them what the format can hold."
    )
    body = _body(card, facts, about, composition(facts, selection=fingerprint), _reading(format))
    return _document([header(card, facts, download_bytes=None), _EXPORTED, *body])


def _document(parts: Iterable[str]) -> bytes:
    return ("\n\n".join(parts) + "\n").encode("utf-8", "replace")


def _body(
    card: DatasetCard, facts: SnapshotFacts, overview: str, composed: Iterable[str], loading: Iterable[str]
) -> Iterator[str]:
    yield f"# {inline(title_of(card, facts.info))}"
    unsaid = not_stated(card)
    if unsaid:
        yield f"> This card is not complete. It does not say: {', '.join(unsaid)}."
    yield from _section("Summary", _text(card.summary), overview)
    yield from _section("Purpose", _text(card.purpose))
    yield from _section("Licence", _licence(card, facts))
    yield from _section("Composition", *composed)
    yield from _section("Collection", *_collection(card))
    yield from _section("Annotation", *_annotation(card))
    yield from _section("Consent and personal information", *_consent(card))
    yield from _section("Uses", _list("Meant for", card.uses), _list("Not to be used for", card.out_of_scope))
    yield from _section("Limits and biases", *_limits(card))
    yield from _section("How to load it", *loading)
    yield from _section("Citation", fenced(card.citation) if card.citation else NOT_STATED)
    yield from _section("Contacts and maintenance", *_contacts(card))


def not_stated(card: DatasetCard) -> list[str]:
    """The names of what a reader looks for on every card and nobody stated."""
    stated = {
        "title": card.title,
        "summary": card.summary,
        "purpose": card.purpose,
        "licence": license_name(card.license) or license_url(card.license),
        "creators": card.creators,
        "contacts": card.contacts,
        "collection": card.collection.how,
        "annotation": card.annotation.how,
        "consent": card.consent,
        "personal information": card.personal_information,
        "limits": card.limits,
        "uses": card.uses,
    }
    return [name for name, value in stated.items() if not value]


def _section(title: str, *parts: str) -> Iterator[str]:
    yield f"## {title}"
    yield from parts


def _text(text: str | None) -> str:
    return block(text) if text else NOT_STATED


def _said(title: str, text: str | None) -> str:
    """One line for a short fact, the title alone and paragraphs for a long one."""
    body = _text(text)
    return f"**{title}:** {body}" if "\n" not in body else f"**{title}:**\n\n{body}"


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return f"**{title}:** {NOT_STATED}"
    return "\n".join([f"**{title}:**", "", *(f"- {inline(item)}" for item in items)])


def _overview(facts: SnapshotFacts) -> str:
    counts = f"{counted(facts.samples, 'sample')} with {counted(facts.annotations, 'annotation')}"
    of = f"of {counted(len(facts.categories), 'category', 'categories')}"
    return f"The snapshot {inline(facts.info.name)}: {counts} {of}."


def _licence(card: DatasetCard, facts: SnapshotFacts) -> str:
    name, url = license_name(card.license), license_url(card.license)
    own = f"{inline(name)}: <{url}>" if name and url else f"<{url}>" if url else inline(name) if name else NOT_STATED
    sources = [f"- {inline(item.name)}{f' ({inline(item.url)})' if item.url else ''}" for item in facts.info.licenses]
    return "\n".join([own, "", "The sources name these licences:", "", *sources]) if sources else own


def _collection(card: DatasetCard) -> Iterator[str]:
    about = card.collection
    yield _text(about.how)
    if about.types:
        yield _said("Kind of collection", ", ".join(about.types))
    yield _said("Gathered by", about.by)
    days = [day for day in (about.start, about.end) if day]
    yield _said("When", " to ".join(dict.fromkeys(days)))
    if about.raw_data:
        yield _said("Before it was gathered", about.raw_data)
    if about.missing:
        yield _said("Known to be missing", about.missing)
    if card.based_on:
        yield _list("Made from", card.based_on)


def _annotation(card: DatasetCard) -> Iterator[str]:
    about = card.annotation
    yield _text(about.how)
    yield _said("Made by", ", ".join(about.kinds))
    yield _said("Guidelines", about.guidelines)
    rest = {
        "The people who labelled": about.annotators,
        "Platform": about.platform,
        "Models and programs": ", ".join(about.machine_tools),
        "People a picture": about.per_item,
        "Agreement": about.analysis,
    }
    for title, text in rest.items():
        if text:
            yield _said(title, text)


def _consent(card: DatasetCard) -> Iterator[str]:
    yield _said("Consent", card.consent)
    yield _said("Personal or sensitive information", card.personal_information)


def _limits(card: DatasetCard) -> Iterator[str]:
    yield _list("Known limits", card.limits)
    yield _list("Known biases", card.biases)
    if card.social_impact:
        yield _said("What may come of it", card.social_impact)


def _contacts(card: DatasetCard) -> Iterator[str]:
    yield _parties("Contacts", card.contacts)
    yield _parties("Made by", card.creators)
    yield _said("Maintenance", card.maintenance)
    for title, text in (("Version", card.version), ("Published", card.published), ("Home page", card.url)):
        if text:
            yield _said(title, text) if title != "Home page" else f"**{title}:** <{text}>"


def _parties(title: str, parties: Iterable[Party]) -> str:
    lines = []
    for party in parties:
        ways = ", ".join(f"<{way}>" for way in (party.email, party.url) if way)
        lines.append(f"- {inline(party.name)}{f' ({ways})' if ways else ''}")
    return "\n".join([f"**{title}:**", "", *lines]) if lines else f"**{title}:** {NOT_STATED}"


def _reading(format: str) -> Iterator[str]:
    yield "From the folder above this one, with this one's name for `FOLDER`:"
    yield fenced(
        f'import dsetkit\n\nlabels = dsetkit.read_labels("FOLDER", format={json.dumps(format)})\nlabels.table',
        "python",
    )


def _loading(place: str) -> Iterator[str]:
    """Code that runs where it says."""
    climbs = place.startswith("../")
    path = place.lstrip("./") if climbs else place
    folder = json.dumps(path)
    yield f"From {'the top of the project' if climbs else 'this folder'}, with dsetkit:"
    yield fenced(
        f"import dsetkit\n\nsnapshot = dsetkit.open({folder})\nfor sample in snapshot.take(3):\n"
        "    picture = snapshot.image(sample.key)  # a PIL image, upright\n"
        "    print(sample.key, sample.split, picture.size, len(sample.annotations))",
        "python",
    )
    yield "The labels alone, with pandas:"
    yield fenced(
        f"import pandas as pd\n\nsamples = pd.read_parquet({json.dumps(posixpath.join(path, 'samples'))})\n"
        'labels = samples[["key", "split", "annotations"]].explode("annotations").dropna(subset="annotations")',
        "python",
    )
    yield "The pictures alone, with WebDataset; `__key__` is a picture's SHA-256, the column `digest` of its samples:"
    yield fenced(
        "from pathlib import Path\n\nimport webdataset as wds\n\n"
        f'shards = sorted(map(str, Path({folder}, "shards").glob("*.tar")))\n'
        'pictures = wds.WebDataset(shards, shardshuffle=False).decode("pil")',
        "python",
    )
