"""What the ``.dvc/config`` of a project may not say where dsetkit itself opens DVC's repository, or reads its remotes.

That file is in git, so whoever commits to the repository says what is in it, and to look at a version is not meant to
run anything of theirs. What names files or programs of a machine belongs into that machine's own configuration
(``.dvc/config.local``, or that of the user or the system), which is not looked at here. The keys are those of DVC 3.67
(``dvc/config_schema.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsetkit.errors import StorageError, UsageError

if TYPE_CHECKING:
    from dvc.repo import Repo

_OF_A_MACHINE = (
    "configpath",  # of AWS, as is the next: `credential_process` in it is a program to run
    "credentialpath",
    "bearer_token_command",
    "keyfile",
    "cert_path",
    "key_path",
    "kerb_ticket",
    "gdrive_user_credentials_file",
    "gdrive_service_account_json_file_path",
)
"""Options of a remote that are programs to run, or files from which credentials, or programs, are read."""
_SWITCHES = ("true", "false")


def open_repo(root: Path) -> Repo:
    """DVC's repository of the project at ``root``; to be closed.

    Raises ``UsageError`` where ``.dvc/config`` says where DVC keeps its databases: it takes Python objects (pickles)
    out of them, so whoever wrote them could run anything.
    """
    from dvc.repo import Repo

    core = _committed(root).get("core")
    if isinstance(core, dict) and "site_cache_dir" in core:
        raise UsageError(
            ".dvc/config sets core.site_cache_dir, and DVC would run what is in there",
            hint="Set it in .dvc/config.local: dvc config --local core.site_cache_dir VALUE; and take it out of"
            " .dvc/config: dvc config --unset core.site_cache_dir.",
        )
    return Repo(str(root))


def check_remotes(root: Path) -> None:
    """Raises ``UsageError`` where ``.dvc/config`` has an option of a remote that names a file or program to use."""
    from dsetkit.access.files import shown

    remotes = _committed(root).get("remote")
    for name, options in remotes.items() if isinstance(remotes, dict) else ():
        for key, value in options.items() if isinstance(options, dict) else ():
            is_file = key == "ssl_verify" and str(value).lower() not in _SWITCHES
            if key in _OF_A_MACHINE or is_file:
                remote = shown(str(name))
                raise UsageError(
                    f"the remote {remote} has {key} in .dvc/config: a file or program of this machine, named by whoever"
                    " committed that",
                    hint=f"Set it in .dvc/config.local: dvc remote modify --local {remote} {key} VALUE; and take it out"
                    f" of .dvc/config: dvc remote modify --unset {remote} {key}.",
                )


def _committed(root: Path) -> dict[str, Any]:
    """What ``.dvc/config`` says by DVC's own reading of it. Raises ``StorageError`` where it cannot be read."""
    from dvc.config import Config, ConfigError

    folder = next((place for place in (root, *root.parents) if (place / ".dvc").is_dir()), root)
    path = folder / ".dvc" / "config"
    try:
        found: dict[str, Any] = Config.load_file(str(path))
    except FileNotFoundError:
        return {}
    except (ConfigError, OSError) as error:
        raise StorageError(f"{path} cannot be read: {error}", url=str(path), hint="Mend the file.") from error
    return found
