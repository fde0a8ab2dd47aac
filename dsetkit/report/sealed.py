"""A report on sealed snapshots: its files as those without keys may have them, and back.

Numbers and pictures of a sealed dataset tell of it, so what the report says is sealed like it: ``report.html``,
``metrics.json`` and the cards hold the sealed file (base64) in a shell that says what it is; plots are empty. What
people state about the dataset in ``params.yaml`` is in git anyway.
"""

from __future__ import annotations

import base64
import json
import re
from html import escape
from pathlib import PurePosixPath

from dsetkit.errors import TamperError, UsageError
from dsetkit.snapshots.sealing import Seal

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
    its readers need not be those of the report, and each of them can seal what they like.
    """
    domain, epoch = said
    if wanted is None or wanted[0] != domain:
        due = "leaves the report plain" if wanted is None else f"seals the report in {wanted[0]}"
        raise TamperError(
            f"{path} is sealed in the domain {domain}, and the policy {due}",
            subject=path.as_posix(),
            hint="If the policy has changed since the report was built, build it again: dvc repro. Else ask who put it "
            "there (git log): it need not be of a builder.",
        )
    return epoch == wanted[1]


def unsealed(path: PurePosixPath, data: bytes, seal: Seal) -> bytes:
    """What was sealed into a file of a report. Raises ``UsageError`` for a plain one, ``TamperError``."""
    _, stored = _opened(path, data)
    return seal.open_file("report", path.as_posix(), stored)


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
    if path.parent.name == "plots":
        return b"[]\n"
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
