"""The page: everything about a project's snapshots in one file that needs no server and asks no address."""

from __future__ import annotations

from dsetkit.report.drawing.pictures import Pictures
from dsetkit.report.facts.collect import ProjectFacts
from dsetkit.report.page.budget import Budget, Purse
from dsetkit.report.page.change import EXAMPLES, NO_EARLIER, Change, show_change
from dsetkit.report.page.charts import balance_charts, flow_chart, quality_charts, shape_charts
from dsetkit.report.page.choice import CHOICE
from dsetkit.report.page.clusters import show_clusters
from dsetkit.report.page.flow import annotation_flows, beyond_bounds, sample_flows
from dsetkit.report.page.gallery import legend, show_gallery
from dsetkit.report.page.html import fill_page
from dsetkit.report.page.reading import Shelf
from dsetkit.report.page.rejected import show_rejected
from dsetkit.report.page.tile import MOST_DRAWN
from dsetkit.report.page.trust import LEVELS, RULES, judge
from dsetkit.report.page.variants import show_variants
from dsetkit.stages.project import Project


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
    budget, purse = Budget.of(params.report), Purse()
    pictures = Pictures(params.ingest.max_pixels)
    gallery = show_gallery(shelf, params.report.pictures, pictures, purse.put(budget.pictures))
    purse.put(budget.change)
    changed = None if change is None else show_change(change, shelf, pictures, purse)
    variants = show_variants(shelf, params.report.variants, pictures, purse.put(budget.variants))
    clusters = show_clusters(shelf, params.report.clusters, pictures, purse.put(budget.clusters))
    rejected = show_rejected(shelf, params.report.rejected, pictures, purse.put(budget.rejected))
    samples, annotations = sample_flows(facts, shelf), annotation_flows(facts)
    return fill_page(
        "page.html.j2",
        title=params.card.title or ", ".join(facts.raw) or "Dataset",
        facts=facts,
        params=params,
        points=judge(facts, [*samples, *annotations]),
        rules=RULES,
        levels=LEVELS,
        flows=(("Samples", samples), ("Annotations", annotations)),
        flow_chart=flow_chart(samples),
        balance=balance_charts(facts.cleaned),
        shapes=shape_charts(facts.cleaned),
        quality=quality_charts(facts, params.clean.quality, beyond_bounds(shelf, params.clean.quality)),
        gallery=gallery,
        colors=legend(shelf, gallery),
        choice=CHOICE,
        most_drawn=MOST_DRAWN,
        rejected=rejected,
        clusters=clusters,
        variants=variants,
        change=changed,
        previous=None if change is None else change.previous,
        no_earlier=NO_EARLIER,
        examples_limit=EXAMPLES,
        pictures=pictures,
        stages=[*facts.raw.values(), facts.cleaned, *filter(None, [facts.augmented])],
    )  # fmt: skip
