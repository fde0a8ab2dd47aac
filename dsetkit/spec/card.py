"""The dataset card: what only people know about a dataset. Section ``card`` of ``params.yaml``.

What can be counted is not here: it is computed from the snapshots and put beside this on the card. A field that is
left out reads "not stated" on the card; the project's contract (``schemas/card.py``) says which must be stated.
The fields are those of Hugging Face dataset cards, schema.org/Dataset, Croissant 1.1 and its vocabulary for
responsible AI (RAI 1.0), which each field names.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from dsetkit.spec.base import Document

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
"""Plain text; blank lines part paragraphs. It is shown as written: marks of Markdown or HTML in it do nothing."""

Stated = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text that must say something; for contracts: ``title: Stated``."""

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"\\]+$")]
"""An address that begins with ``https://`` or ``http://``."""

Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A BCP 47 tag: ``en``, ``pt-BR``."""


def _check_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("a date is written YYYY-MM-DD") from None


Date = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_check_date)]
"""A day, ``YYYY-MM-DD``."""

AnnotatorKind = Literal["expert-generated", "crowdsourced", "machine-generated", "found", "no-annotation", "other"]
"""Who made annotations, in the words of Hugging Face (``annotations_creators``)."""


class Party(Document):
    """A person or an organisation."""

    name: Stated
    kind: Literal["person", "organization"] = "person"
    email: Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")] | None = None
    url: Url | None = None


class CardLicense(Document):
    """The licence the dataset is given away under."""

    id: Text | None = None
    """Its SPDX or Hugging Face id: ``CC-BY-4.0``, ``cc0-1.0``."""
    name: Text | None = None
    """Its name, where it has no id."""
    url: Url | None = None
    """Where its text is; known for an SPDX id."""


class Collection(Document):
    """How the pictures were gathered."""

    how: Text | None = None
    """Where, with what, chosen by which rule (``rai:dataCollection``)."""
    types: tuple[Stated, ...] = ()
    """In a word or two each: ``Direct measurement``, ``Web scraping``, ``Synthetic`` (``rai:dataCollectionType``)."""
    by: Text | None = None
    """Who gathered them, and how they were paid."""
    start: Date | None = None
    """First day (``rai:dataCollectionTimeFrame``)."""
    end: Date | None = None
    """Last day."""
    raw_data: Text | None = None
    """What the sources were before they were gathered here (``rai:dataCollectionRawData``)."""
    missing: Text | None = None
    """What is known to be missing (``rai:dataCollectionMissingData``)."""


class AnnotationProcess(Document):
    """How the pictures were labelled."""

    how: Text | None = None
    """Who labelled what in which steps, and how it was checked (``rai:dataAnnotationProtocol``)."""
    kinds: tuple[AnnotatorKind, ...] = ()
    """Who made the labels, in the words of Hugging Face (``annotations_creators``)."""
    annotators: Text | None = None
    """What is known of the people who labelled: how many, how trained, how paid (``rai:annotatorDemographics``)."""
    guidelines: Text | None = None
    """What they were told to do: the text, or where it is."""
    platform: Text | None = None
    """The tool they labelled with (``rai:dataAnnotationPlatform``)."""
    machine_tools: tuple[Stated, ...] = ()
    """Models and programs that helped (``rai:machineAnnotationTools``)."""
    per_item: Text | None = None
    """How many people labelled each picture (``rai:annotationsPerItem``)."""
    analysis: Text | None = None
    """How far annotators agreed, and what became of it where they did not (``rai:dataAnnotationAnalysis``)."""


class DatasetCard(Document):
    """What only people know about a dataset."""

    schema_: str | None = Field(default=None, alias="schema")
    """The contract that says what must be stated here, ``module:Name``."""
    title: Text | None = None
    """The dataset's name for people."""
    summary: Text | None = None
    """What it is, in a sentence or two; search engines show this."""
    purpose: Text | None = None
    """What it was made for, by whom, with whose money."""
    license: CardLicense = CardLicense()
    """The licence the dataset is given away under."""
    contacts: tuple[Party, ...] = ()
    """Whom to ask."""
    creators: tuple[Party, ...] = ()
    """Who made it."""
    citation: Text | None = None
    """How to cite it: BibTeX, or a sentence."""
    version: Text | None = None
    """``MAJOR.MINOR.PATCH``, in quotes."""
    published: Date | None = None
    """The day it was given away first."""
    url: Url | None = None
    """Its home page."""
    based_on: tuple[Stated, ...] = ()
    """Datasets that it was made from: addresses or names."""
    languages: tuple[Language, ...] = ()
    """Of captions and of text in the pictures; BCP 47 tags: ``en``, ``pt-BR``."""
    keywords: tuple[Stated, ...] = ()
    """Words that people would search for."""
    collection: Collection = Collection()
    """How the pictures were gathered."""
    annotation: AnnotationProcess = AnnotationProcess()
    """How the pictures were labelled."""
    consent: Text | None = None
    """Who consented to what, and how they can withdraw; or why nobody had to."""
    personal_information: Text | None = None
    """People, faces, plates, places and other personal or sensitive things in it
    (``rai:personalSensitiveInformation``)."""
    limits: tuple[Stated, ...] = ()
    """What it does not show or cannot tell (``rai:dataLimitations``)."""
    biases: tuple[Stated, ...] = ()
    """Where it is one-sided (``rai:dataBiases``)."""
    social_impact: Text | None = None
    """What good and harm may come of it (``rai:dataSocialImpact``)."""
    uses: tuple[Stated, ...] = ()
    """What it is meant for (``rai:dataUseCases``)."""
    out_of_scope: tuple[Stated, ...] = ()
    """What it must not be used for."""
    maintenance: Text | None = None
    """Who keeps it, how it changes, how mistakes are reported (``rai:dataReleaseMaintenancePlan``)."""
