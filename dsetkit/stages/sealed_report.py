"""A report on sealed snapshots: its files as those without keys may have them, and back; and whether they are signed.

Numbers and pictures of a sealed dataset tell of it, so what the report says is sealed like it: ``report.html``,
``metrics.json`` and the cards hold the sealed file (base64) in a shell that says what it is; plots are empty. What
people state about the dataset in ``params.yaml`` is in git anyway. All of these files, as they are stored, are what a
builder of the report signs (``access.statement``): sealed alone, they could be of any of its readers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dsetkit.access.files import read_below, refuse
from dsetkit.errors import AccessError, TamperError, UsageError
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.issue import Issue

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys
    from dsetkit.access.provenance import Statement

PAGE = PurePosixPath("reports/report.html")
METRICS = PurePosixPath("reports/metrics.json")
PLOTS = PurePosixPath("reports/plots")
CARDS = PurePosixPath("cards")
FOLDERS = (PLOTS, CARDS)
"""Of these a report has all files."""

_SHELL = """\
<!doctype html>
<meta charset="utf-8">
<title>Sealed: {name}</title>
<p>This is sealed (domain {domain}, epoch {epoch}): it is for those who may read the dataset it is about.</p>
<p>If you may: <code>dsetkit access unseal {name} OUT</code></p>
<script type="application/octet-stream" id="sealed">{body}</script>
"""
_BODY = re.compile(rb'(?:id="sealed">|<!-- sealed: )([A-Za-z0-9+/=\n]*)(?:</script>| -->)')

_DOMAIN = re.compile(r"[a-z0-9-]{1,64}")
_MOST_EPOCHS = 10**9
_MOST_BYTES = 1 << 30
_NO_PLOT = b"[]\n"
_NAMED = re.compile(rb"sealed \(domain ([a-z0-9-]{1,64}), epoch ([0-9]{1,9})\)")


def sealed_report(files: dict[PurePosixPath, bytes], seal: Seal) -> dict[PurePosixPath, bytes]:
    """Path in the project → content, sealed by kind of file: a page, a document, a plot, a card."""
    return {path: _shell(path, data, seal) for path, data in files.items()}


def sealed_for(path: PurePosixPath, data: bytes) -> tuple[str, int]:
    """Domain and epoch of the seal on a file of a report, as it says itself. Raises ``UsageError`` for a plain one."""
    said, _ = _opened(path, data)
    return said


def is_newest(path: PurePosixPath, said: tuple[str, int], wanted: tuple[str, int] | None) -> bool:
    """Whether a file of a report that says that it is sealed so (``sealed_for``) is of the newest epoch.

    ``wanted`` is what the policy says of ``report`` (``rules.seal_wanted``). Raises ``TamperError`` for another domain:
    its readers need not be those of the report.
    """
    domain, epoch = said
    if wanted is None or wanted[0] != domain:
        due = "leaves the report plain" if wanted is None else f"seals the report in {wanted[0]}"
        raise TamperError(
            f"{path} is sealed in the domain {domain}, and the policy {due}",
            subject=path.as_posix(),
            hint="The policy has changed since the report was built: build it again: dvc repro.",
        )
    return epoch == wanted[1]


def unsealed(path: PurePosixPath, data: bytes, seal: Seal) -> bytes:
    """What was sealed into a file of a report. Raises ``UsageError`` for a plain one, ``TamperError``."""
    _, stored = _opened(path, data)
    return seal.open_file("report", path.as_posix(), stored)


def standing_report(root: Path) -> dict[PurePosixPath, bytes]:
    """The files of the report of a project, as they stand. Raises ``TamperError`` for a link among them."""
    below = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_symlink() or path.is_file()]
    found = {}
    for path in (PAGE, METRICS, *(PurePosixPath(path.relative_to(root).as_posix()) for path in sorted(below))):
        data = read_below(root, path.as_posix(), _MOST_BYTES)
        if data is not None:
            found[path] = data
    return found


def is_sealed_report(files: Mapping[PurePosixPath, bytes]) -> bool:
    """Whether these are files of a report whose page or metrics are sealed, as they say themselves."""
    for path in (PAGE, METRICS):
        with suppress(UsageError):
            if path in files and sealed_for(path, files[path]):
                return True
    return False


def sealed_as(files: Mapping[PurePosixPath, bytes]) -> tuple[str, int]:
    """Domain and epoch of the seal on some files of a report, as they say themselves.

    Raises ``TamperError`` where one of them is plain, or they are not sealed alike.
    """
    found: dict[tuple[str, int], PurePosixPath] = {}
    for path, data in files.items():
        try:
            if path.parent != PLOTS:
                found[sealed_for(path, data)] = path
            elif data != _NO_PLOT:
                raise UsageError(f"{path} has data", hint="")
        except UsageError:
            refuse(
                "is plain, or no file of a report, and the policy seals the report",
                path.as_posix(),
                hint="Build it again (dvc repro). If it was sealed before, somebody has put another in its place.",
            )
    if len(found) != 1:
        refuse("is not sealed in one domain and epoch", "report", hint="Build it again: dvc repro.")
    return next(iter(found))


def check_report(keys: ProjectKeys, files: Mapping[PurePosixPath, bytes]) -> Statement:
    """The believed statement of the report that has these of its files. Raises as ``ProjectKeys.check_report`` does."""
    digests = {path.as_posix(): hashlib.sha256(data).hexdigest() for path, data in files.items()}
    return keys.check_report(digests, sealed_as(files))


def report_issues(keys: ProjectKeys, files: Mapping[PurePosixPath, bytes]) -> list[Issue]:
    """What is wrong with the files of a sealed report: whether a builder signed them, and just them. Takes no key.

    Codes: ``report-tampered``; ``file-missing`` for what was signed and is not there, but for the page, which DVC may
    not have fetched yet. Raises ``AccessError`` where signatures cannot be checked.
    """
    try:
        statement = check_report(keys, files)
    except TamperError as error:
        return [Issue(code="report-tampered", message=error.message, hint=error.hint)]
    missing = sorted(statement.files.keys() - {path.as_posix() for path in (*files, PAGE)})
    return [
        Issue(
            code="file-missing",
            message="it is not there, and it was signed with the report",
            file=name,
            hint="Take it back (git checkout), or build it again: dsetkit report.",
        )
        for name in missing
    ]


def seals_report(keys: ProjectKeys) -> bool:
    """Whether the policy seals the report; not where it does not say yet who reads it. Raises as ``policy`` does."""
    from dsetkit.access.rules import seal_wanted

    policy = keys.policy
    try:
        return seal_wanted(policy, "report") is not None
    except AccessError:
        return False


def check_sealing(files: Mapping[PurePosixPath, bytes], seal: Seal) -> None:
    """Whether these are just the files that sealing gives of what is in them. Raises ``TamperError``."""
    for path, data in files.items():
        if path.parent != PLOTS and _shell(path, unsealed(path, data, seal), seal) != data:
            refuse(
                "is not what dsetkit makes of what is sealed in it", path.as_posix(), hint="Build it again: dvc repro."
            )


def _opened(path: PurePosixPath, data: bytes) -> tuple[tuple[str, int], bytes]:
    body, domain, epoch = None, None, None
    if path.suffix == ".json":
        try:
            said = json.loads(data)["sealed"]
            body, domain, epoch = said["body"], said["domain"], said["epoch"]
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
    elif (found := _BODY.search(data)) and (named := _NAMED.search(data)):
        body, domain, epoch = found[1].decode(), named[1].decode(), int(named[2])
    if (
        isinstance(body, str)
        and isinstance(domain, str)
        and _DOMAIN.fullmatch(domain)
        and type(epoch) is int
        and 0 < epoch < _MOST_EPOCHS
    ):
        try:
            return (domain, epoch), base64.b64decode(body, validate=True)
        except ValueError:  # of it, `binascii.Error` is one
            pass
    raise UsageError(f"{path} is no sealed file of a report", hint="Name reports/report.html, or a card.")


def _shell(path: PurePosixPath, data: bytes, seal: Seal) -> bytes:
    if path.parent == PLOTS:
        return _NO_PLOT
    body = base64.b64encode(seal.seal_file("report", path.as_posix(), data)).decode("ascii")
    if path.suffix == ".json":
        said = {"sealed": {"domain": seal.domain, "epoch": seal.epoch, "body": body}}
        return (json.dumps(said, indent=2) + "\n").encode()
    if path.suffix == ".html":
        facts = {"name": escape(path.as_posix()), "domain": escape(seal.domain), "epoch": seal.epoch, "body": body}
        return _SHELL.format(**facts).encode()
    return (
        f"This card is sealed (domain {seal.domain}, epoch {seal.epoch}): it is for those who may read the dataset it"
        f" is about. If you may: `dsetkit access unseal {path.as_posix()} OUT`\n\n<!-- sealed: {body} -->\n"
    ).encode()
