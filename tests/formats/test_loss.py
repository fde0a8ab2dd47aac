from __future__ import annotations

from dsetkit.formats.loss import Ledger


def test_like_losses_are_counted_together_with_a_few_examples():
    ledger = Ledger("voc")
    for number in range(5):
        ledger.add("kind-dropped", "no captions", f"a.jpg#{number}")
    ledger.add("kind-dropped", "no masks", "b.jpg#0")
    losses = ledger.report().losses
    assert [(loss.message, loss.count, loss.examples) for loss in losses] == [
        ("no captions", 5, ("a.jpg#0", "a.jpg#1", "a.jpg#2")),
        ("no masks", 1, ("b.jpg#0",)),
    ]


def test_bookkeeping_alone_is_lossless():
    ledger = Ledger("coco")
    ledger.add("id-renumbered", "ids are numbered anew", "a#1", severity="info")
    report = ledger.report()
    assert report.is_lossless
    assert report.refusals == ()
    ledger.add("kind-dropped", "no captions", "a#2")
    report = ledger.report()
    assert not report.is_lossless
    assert [loss.severity for loss in report.losses] == ["warning", "info"]


def test_a_report_reads_well():
    ledger = Ledger("csv")
    ledger.samples, ledger.annotations = 2, 3
    assert ledger.report().describe() == "csv: 2 samples, 3 annotations, nothing lost"
    ledger.add("kind-changed", "csv cannot say polygon; it becomes box", "a.jpg#0")
    assert ledger.report().describe() == (
        "csv: 2 samples, 3 annotations, with losses:\n"
        "- csv cannot say polygon; it becomes box (1, e.g. a.jpg#0) [kind-changed]"
    )
