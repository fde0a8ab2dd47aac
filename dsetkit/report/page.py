"""The page: everything about a project's snapshots in one file that needs no server and asks no address."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dsetkit.report import words
from dsetkit.report.change import EXAMPLES, NO_EARLIER, Change, show_change
from dsetkit.report.clusters import show_clusters
from dsetkit.report.facts import ProjectFacts
from dsetkit.report.flow import annotation_flows, beyond_bounds, sample_flows
from dsetkit.report.gallery import CHOICE, choose_samples
from dsetkit.report.overlay import Painter
from dsetkit.report.page_charts import balance_charts, flow_chart, quality_charts, shape_charts
from dsetkit.report.pictures import LARGE, Pictures
from dsetkit.report.reading import Shelf, reader_of, rows_by_key
from dsetkit.report.rejected import show_rejected
from dsetkit.report.tile import MOST_DRAWN, Asked, Tile, make_tiles
from dsetkit.report.trust import judge
from dsetkit.report.variants import show_variants
from dsetkit.spec.params import ReportParams
from dsetkit.stages.project import Project


@dataclass(frozen=True)
class Budget:
    """How many bytes each section's pictures and labels may add to the page."""

    pictures: int = 7_600_000
    change: int = 700_000
    clusters: int = 1_100_000
    variants: int = 1_100_000
    rejected: int = 3_200_000

    @classmethod
    def of(cls, params: ReportParams) -> Budget:
        """The usual budget, which keeps a page below 15 MB; larger in proportion where params ask for more."""
        usual = cls()
        grown = {
            name: int(getattr(usual, name) * max(1.0, getattr(params, name) / field.default))
            for name, field in ReportParams.model_fields.items()
            if hasattr(usual, name)
        }
        return cls(**grown)


def build_page(project: Project, facts: ProjectFacts, change: Change | None) -> bytes:
    """The report as one HTML file, UTF-8; the same bytes for the same snapshots, params and tools.

    ``facts`` are of the project's snapshots as they stand; ``change`` is what differs from the version before, None
    where there is none to compare with. Pictures are read and decoded one by one and held small. The page carries a
    Content-Security-Policy that lets it run its own script and show its own pictures, and nothing else; text that came
    from data is escaped everywhere. Raises ``SnapshotError`` where a snapshot is absent or damaged; a picture that
    cannot be shown is said to be so in its place.
    """
    shelf = Shelf.open(project)
    params = project.params
    budget = Budget.of(params.report)
    pictures = Pictures(params.ingest.max_pixels)
    gallery = _gallery(shelf, params.report.pictures, pictures, budget.pictures)
    changed = None if change is None else show_change(change, shelf, pictures, budget.change)
    clusters = show_clusters(shelf, params.report.clusters, pictures, budget.clusters)
    variants = show_variants(shelf, params.report.variants, pictures, budget.variants)
    rejected = show_rejected(shelf, params.report.rejected, pictures, budget.rejected)
    samples, annotations = sample_flows(facts, shelf), annotation_flows(facts)
    style, script = _asset("page.css"), _asset("page.js")
    page = _environment().get_template("page.html.j2").render(
        title=params.card.title or ", ".join(facts.raw) or "Dataset",
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        facts=facts,
        params=params,
        points=judge(facts, [*samples, *annotations]),
        flows=(("Samples", samples), ("Annotations", annotations)),
        flow_chart=flow_chart(samples),
        balance=balance_charts(facts.cleaned),
        shapes=shape_charts(facts.cleaned),
        quality=quality_charts(facts, params.clean.quality, beyond_bounds(shelf, params.clean.quality)),
        gallery=gallery,
        colors=_legend(shelf, gallery),
        choice=CHOICE,
        most_drawn=MOST_DRAWN,
        rejected=rejected,
        clusters=clusters,
        variants=variants,
        change=changed,
        no_earlier=NO_EARLIER,
        examples_limit=EXAMPLES,
        pictures=pictures,
        stages=[*facts.raw.values(), facts.cleaned, *filter(None, [facts.augmented])],
    )  # fmt: skip
    return page.encode("utf-8", "replace")


def _gallery(shelf: Shelf, limit: int, pictures: Pictures, budget_bytes: int) -> tuple[Tile, ...]:
    """Samples of the cleaned snapshot with their labels; in key order, the most telling first to be embedded."""
    keys = choose_samples(shelf.cleaned, limit)
    rows = rows_by_key(shelf.cleaned, keys)
    painter = Painter(shelf.cleaned.categories)
    asked = (Asked(rows[key], reader_of(shelf.cleaned, rows[key]), painter) for key in keys)
    tiles = make_tiles(asked, pictures, LARGE, budget_bytes)
    return tuple(sorted(tiles, key=lambda tile: tile.key.encode()))


def _legend(shelf: Shelf, gallery: tuple[Tile, ...]) -> dict[str, str]:
    """The colour of each category that the gallery shows, in the dataset's order."""
    painter = Painter(shelf.cleaned.categories)
    order = {category.name: place for place, category in enumerate(shelf.cleaned.categories)}
    names = {name for tile in gallery for name in tile.categories}
    return {name: painter.hex_of(name) for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))}


def _policy(style: str, script: str) -> str:
    """What the page may do, https://www.w3.org/TR/CSP3/: only its own style, its own script, its own pictures."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return files("dsetkit.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dsetkit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "size": words.size,
        "counted": words.counted,
        "shorten": words.shorten,
        "in_split_order": words.in_split_order,
        "kinds": lambda kind: words.KINDS.get(kind, kind),
    }
    environment.globals["percent"] = words.percent
    return environment
