"""What each stage was asked to do, as one digest: recorded in its snapshot, so that a stale one is known as such.

The report's is in its statement (``access.statement``).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from dsetkit.spec.base import digest_of
from dsetkit.stages.project import Project


def raw_digest(project: Project, name: str) -> str:
    """Of the params and the lock that ``ingest`` of a source reads."""
    lock = project.lock.get(name)
    said = None if lock is None else lock.model_dump(mode="json", exclude_none=True)  # as it was before it had seals
    return _digest(project, project.source(name), project.params.ingest, said)


def clean_digest(project: Project) -> str:
    """Of the params and the corrections that ``clean`` reads; without corrections, of the params alone."""
    params, corrections = project.params, project.corrections_state()
    return _digest(
        project, *params.sources.values(), params.clean, params.schema_, *([corrections] if corrections else [])
    )


def augment_digest(project: Project) -> str:
    """Of the params that ``augment`` reads."""
    return _digest(project, project.params.augment)


def report_digest(project: Project) -> str:
    """Of the params that ``report`` reads."""
    params = project.params
    return _digest(project, *params.sources.values(), params.clean, params.augment, params.card, params.report)


def _digest(project: Project, *facts: Any) -> str:
    plain = [fact.model_dump(mode="json") if isinstance(fact, BaseModel) else fact for fact in facts]
    return digest_of([project.params.shards.target_bytes, *plain])
