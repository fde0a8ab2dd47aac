"""The git bundle of a backup, taken apart: a repository with the branches and tags that its index names."""

from __future__ import annotations

from pathlib import Path

from dsetkit.errors import StorageError
from dsetkit.history.backup.copies import folder_blocks, hashed, teed
from dsetkit.history.backup.index import BackupIndex, bundle_name
from dsetkit.history.repository import git
from dsetkit.storage.atomic import written
from dsetkit.storage.folder import Folder

_HEAD = "refs/dsetkit/head"
_HINT = "Restore another generation (dsetkit backup list, --generation); make a new one from a project that is whole."


def fetch_bundle(folder: Folder, index: BackupIndex, target: Path) -> None:
    """Copies the bundle of a generation. Raises ``StorageError`` for other bytes than the index says."""
    name = bundle_name(index.bundle.digest)
    size = folder.size_bytes(name)
    if size is None:
        raise StorageError(f"{folder.url}/{name} is not there", url=folder.url, hint=_HINT)
    if size != index.bundle.size_bytes:
        raise StorageError(
            f"{folder.url}/{name} is damaged: it has {size:,} bytes, not {index.bundle.size_bytes:,}",
            url=folder.url,
            hint=_HINT,
        )
    with written(target), target.open("wb") as file:
        found = hashed(teed(folder_blocks(folder, name), file))
    if not found.is_file(index.bundle):
        raise StorageError(f"{folder.url}/{name} is damaged: its digest is {found.digest}", url=folder.url, hint=_HINT)


def unbundle(bundle: Path, into: Path, index: BackupIndex) -> Path:
    """Makes a repository of a bundle, nothing checked out; gives the project's folder in it.

    Raises ``StorageError`` where git cannot read it, or its branches and tags are not those of the index.
    """
    git_in(into, "init", "--quiet")
    specs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", f"+HEAD:{_HEAD}")
    try:
        git_in(into, "fetch", "--quiet", "--no-tags", "--update-head-ok", str(bundle), *specs)
    except StorageError as error:
        raise StorageError(f"the git bundle cannot be read: {error.message}", url=str(bundle), hint=_HINT) from error
    head_rev = git(into, "rev-parse", "--verify", "--quiet", _HEAD)
    git_in(into, "update-ref", "-d", _HEAD)
    text = git(into, "for-each-ref", "--format=%(objectname) %(refname)", required=True) or ""
    refs = {ref: rev for rev, _, ref in (line.partition(" ") for line in text.splitlines())}
    if refs != index.refs or head_rev != index.head_rev or index.refs.get(index.head, head_rev) != head_rev:
        raise StorageError(
            f"the git bundle does not have the branches and tags of generation {index.generation}",
            url=str(bundle),
            hint=_HINT,
        )
    if index.head:
        git_in(into, "symbolic-ref", "HEAD", index.head)
    else:
        git_in(into, "update-ref", "--no-deref", "HEAD", index.head_rev)
    root = into / index.project if index.project else into
    with written(root):
        root.mkdir(parents=True, exist_ok=True)
    return root


def git_in(root: Path, *arguments: str) -> str:
    """What a git command says that has to succeed; the folder is made. Raises ``StorageError``."""
    with written(root):
        root.mkdir(parents=True, exist_ok=True)
    return git(root, *arguments, required=True) or ""
