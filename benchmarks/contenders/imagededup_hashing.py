"""imagededup's hashing without torch.

``imagededup.methods`` and ``imagededup.utils`` import its neural network in their ``__init__``. Here both stand as
bare packages with the same folders, so that their modules load as they are and only these two files are passed by.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any


def load_hashing() -> Any:
    """The module ``imagededup.methods.hashing`` (``PHash`` and its kin). In the peers' environment only."""
    import imagededup

    for name in ("methods", "utils"):
        spec = importlib.machinery.ModuleSpec(f"imagededup.{name}", None, is_package=True)
        spec.submodule_search_locations = [f"{folder}/{name}" for folder in imagededup.__path__]
        package: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = package
        setattr(imagededup, name, package)
    return importlib.import_module("imagededup.methods.hashing")
