"""What a card must state here. ``dsetkit verify`` fails as long as the section ``card`` of params.yaml does not."""

from pydantic import Field

from dsetkit import DatasetCard
from dsetkit.spec.card import AnnotationProcess, CardLicense, Collection, Party, Stated


class Gathering(Collection):
    """How the pictures were gathered."""

    how: Stated


class Labelling(AnnotationProcess):
    """How the pictures were labelled."""

    how: Stated


class Card(DatasetCard):
    """What nobody should have to ask for. A field that is named here without a default must be stated."""

    title: Stated
    summary: Stated
    purpose: Stated
    license: CardLicense
    contacts: tuple[Party, ...] = Field(min_length=1)
    collection: Gathering
    annotation: Labelling
    consent: Stated
    personal_information: Stated
    limits: tuple[Stated, ...] = Field(min_length=1)
