"""Licences: which ids Hugging Face and SPDX know, and where their texts are."""

from __future__ import annotations

from dsetkit.spec.card import CardLicense

_SPDX = (
    *("AFL-3.0", "AGPL-3.0", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear"),
    *("BSL-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0"),
    *("CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "C-UDA-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0"),
    *("CDLA-Sharing-1.0", "ECL-2.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GPL-2.0", "GPL-3.0", "ISC"),
    *("LGPL-2.1", "LGPL-3.0", "LPPL-1.3c", "MIT", "MPL-2.0", "MS-PL", "NCSA", "ODbL-1.0", "ODC-By-1.0", "OFL-1.1"),
    *("OSL-3.0", "PDDL-1.0", "PostgreSQL", "Unlicense", "WTFPL", "Zlib", "etalab-2.0", "GFDL-1.3"),
)
_HUGGING_FACE = {
    "c-uda-1.0": "c-uda",
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "gfdl-1.3": "gfdl",
}
"""Where Hugging Face's id is not SPDX's in small letters."""

_BY_ID = {name.lower(): name for name in _SPDX}
_BY_ID |= {short: _BY_ID[long] for long, short in _HUGGING_FACE.items()}


def _spdx(license: CardLicense) -> str | None:
    name = (license.id or "").lower().removesuffix("-only").removesuffix("-or-later")
    return _BY_ID.get(name)


def hugging_face_id(license: CardLicense) -> str | None:
    """The id as Hugging Face has it; ``other`` for a licence it has none for, None where none is stated.

    https://huggingface.co/docs/hub/repositories-licenses
    """
    known = _spdx(license)
    if known is None:
        return "other" if license.id or license.name or license.url else None
    return _HUGGING_FACE.get(known.lower(), known.lower())


def license_url(license: CardLicense) -> str | None:
    """The address that is stated, else that of SPDX for an id it has. https://spdx.org/licenses/"""
    if license.url is not None:
        return license.url
    known = _spdx(license)
    return None if known is None else f"https://spdx.org/licenses/{known}.html"


def license_name(license: CardLicense) -> str | None:
    """What people call it: its name, else its id."""
    return license.name or license.id or None
