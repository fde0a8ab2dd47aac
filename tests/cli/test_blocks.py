"""Bars and sparklines."""

from __future__ import annotations

import pytest

from dsetkit.cli.blocks import IN_ASCII, bar, sparkline


@pytest.mark.parametrize(
    ("share", "drawn"),
    [(0.0, ""), (1.0, "████"), (0.5, "██"), (0.53, "██▏"), (0.001, "▏"), (-1.0, ""), (7.0, "████")],
)
def test_a_bar_is_as_long_as_its_share(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


@pytest.mark.parametrize(
    ("counts", "drawn"),
    [
        ((), ""),
        ((0, 0), ""),
        ((0, 9, 0), ""),  # all alike: nothing is spread
        ((0, 8, 0, 4, 1, 0), "█ ▄▁"),
        ((1, 1000), "▁█"),
        (range(1, 9), "▁▂▃▄▅▆▇█"),
    ],
)
def test_a_sparkline_goes_from_the_first_bin_to_the_last(counts: tuple[int, ...], drawn: str) -> None:
    assert sparkline(counts) == drawn


def test_many_bins_are_put_together() -> None:
    assert sparkline([1] * 100, width=24) == "█" * 20
    assert sparkline([1, 1, 0, 0, 0, 2, 4, 4], width=4) == "▂ ▂█"


def test_blocks_have_letters_of_ascii() -> None:
    for text in (bar(0.53), bar(0.99), sparkline(range(1, 20)), "… × − → ²"):
        assert text.translate(IN_ASCII).isascii()
    assert bar(0.5, 4).translate(IN_ASCII) == "##"
