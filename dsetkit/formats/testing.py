"""The contract every label format keeps, as tests to inherit; third-party formats inherit them too.

    class TestMine(FormatContract):
        format = Mine()

A format that is only read has nothing to write an example with, so the test class does:

    class TestOnlyRead(ReadContract):
        format = OnlyRead()

        def example(self, folder: Path) -> None:
            (folder / "labels.mine").write_text("1.jpg cat")
            (folder / "1.jpg").write_bytes(png(32, 24))

Needs pytest and hypothesis. ``MemoryExport`` and ``exports`` are of use for tests of one's own.
"""

from __future__ import annotations

import pickle
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings

from dsetkit.errors import DsetkitError, FormatError, LossError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Export, Format, Options
from dsetkit.formats.export_names import named
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import stem_of
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing_exports import MemoryExport, exports, lossy_export, plain_export, png
from dsetkit.formats.writing import as_seen, check_losses, write_labels
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json
from dsetkit.spec.key import check_key, sort_key
from dsetkit.spec.sample import Sample
from dsetkit.storage.scan import scan

__all__ = [
    "FormatContract",
    "MemoryExport",
    "ReadContract",
    "check_labels",
    "expected_rows",
    "exports",
    "files_of",
    "normal",
    "plain_export",
    "png",
    "spoil",
]


def expected_rows(label_format: Format, export: Export, options: Options | None = None) -> list[Row]:
    """What is to be read back after writing, by the format's own account."""
    export = as_seen(export, label_format)
    ledger = Ledger(label_format.name)
    prepared = label_format.prepare(export, options or {}, ledger)
    rows = [label_format.carry(row, prepared, ledger) for row in export.rows()]
    return [normal(row) for row in sorted(rows, key=lambda row: sort_key(row["key"]))]


def normal(row: Row) -> Row:
    """A row as a validated document says it: defaults left out, numbers of their declared type."""
    return Sample.model_validate({name: value for name, value in row.items() if not name.startswith("_")}).to_row()


def differences(expected: Any, actual: Any, tolerance: float, place: str = "") -> list[str]:
    """Where two values differ; floats by more than ``tolerance`` (absolute)."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            line
            for name in sorted(expected.keys() | actual.keys())
            for line in differences(
                expected.get(name, "absent"), actual.get(name, "absent"), tolerance, f"{place}.{name}"
            )
        ]
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, tolerance, f"{place}[{index}]")]
    numbers = (int, float)
    if isinstance(expected, numbers) and isinstance(actual, numbers) and not isinstance(expected, bool):
        return [] if abs(expected - actual) <= tolerance else [f"{place}: expected {expected!r}, got {actual!r}"]
    return [] if expected == actual else [f"{place}: expected {expected!r}, got {actual!r}"]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def check_labels(labels: LabelSet) -> None:
    """That a set is one: a table of the schema, valid samples, valid keys, no number that is not finite."""
    assert labels.table.num_rows == len(labels)
    for row in labels.rows:
        check_key(row["key"])
        canonical_json(normal(row))
    keys = [row["key"] for row in labels.rows]
    assert keys == sorted(set(keys), key=sort_key)
    for row in labels.rows:
        ids = [annotation["id"] for annotation in row.get("annotations", ())]
        assert len(set(ids)) == len(ids)


class ReadContract:
    """Inherit, set ``format``, and write an ``example``."""

    format: ClassVar[Format]
    read_options: ClassVar[Options] = {}

    def example(self, folder: Path) -> None:
        """Write a small valid example into ``folder``, which is there and empty: labels, with their pictures."""
        raise NotImplementedError

    def made(self, folder: Path) -> Path:
        """``folder``, made, with the example in it."""
        folder.mkdir(parents=True)
        self.example(folder)
        return folder

    def test_names_itself(self) -> None:
        """A name to type, a title, what is looked for, and a word on each option."""
        assert re.fullmatch(r"[a-z0-9_]+", self.format.name)
        assert self.format.title
        assert self.format.looks_for
        assert all(extension.startswith(".") and extension.islower() for extension in self.format.extensions)
        assert all(self.format.options.values())

    def test_detects_its_own_example_and_says_why(self, tmp_path: Path) -> None:
        """What is of this format is recognised, by the registry too."""
        tree = scan(str(self.made(tmp_path / "out")))
        found = self.format.detect(tree)
        assert found is not None
        assert found.format == self.format.name
        assert 0.0 < found.confidence <= 1.0
        assert found.why.startswith("found ")
        if self.format.name in registry.names():
            assert registry.detect(tree)[0] == found

    def test_detects_nothing_in_an_empty_folder(self, tmp_path: Path) -> None:
        """An empty folder is of no format."""
        assert self.format.detect(scan(str(tmp_path))) is None

    def test_reading_an_empty_folder_says_what_was_looked_for(self, tmp_path: Path) -> None:
        """Nothing to read is an error, not an empty set."""
        with pytest.raises(FormatError) as caught:
            read_labels(tmp_path, self.format)
        assert self.format.looks_for in caught.value.hint

    def test_an_example_is_read_whole_and_always_alike(self, tmp_path: Path) -> None:
        """A valid example has labels and no errors; reading it again gives the same."""
        folder = self.made(tmp_path / "out")
        labels = read_labels(folder, self.format, options=self.read_options)
        check_labels(labels)
        assert len(labels)
        assert [issue.describe() for issue in labels.issues if issue.severity == "error"] == []
        again = read_labels(folder, self.format, options=self.read_options)
        assert [normal(row) for row in again.rows] == [normal(row) for row in labels.rows]
        assert again.categories == labels.categories
        assert again.issues == labels.issues

    def test_pictures_held_in_files_can_be_read_anywhere(self, tmp_path: Path) -> None:
        """They lie in label files (which the lock covers), are the same each time, and their readers are picklable."""
        tree = scan(str(self.made(tmp_path / "out")))
        files = set(self.format.label_files(tree))
        seen: set[str] = set()
        for picture in self.format.held(tree, self.format.check_options(self.read_options)):
            assert picture.container in files
            assert check_key(picture.path) == picture.path
            assert picture.path not in seen
            seen.add(picture.path)
            data = picture.read()
            assert data
            assert pickle.loads(pickle.dumps(picture.read))() == data
            assert picture.size_bytes is None or picture.size_bytes > 0

    def test_what_is_only_read_is_not_written(self, tmp_path: Path) -> None:
        """Writing a format that is only read is an error that names those that are written."""
        if self.format.capabilities.writes:
            return
        with pytest.raises(UsageError) as caught:
            write_labels(plain_export(), tmp_path / "out", self.format)
        assert "Written are: " in caught.value.hint
        assert not list(tmp_path.iterdir())

    def test_an_unknown_option_is_named_with_the_nearest(self) -> None:
        """A mistyped option is an error that names the right one."""
        for name in self.format.options or ("x",):
            with pytest.raises(UsageError) as caught:
                self.format.check_options({f"{name}x": 1})
            assert f"{name}x" in caught.value.message
            assert not self.format.options or name in caught.value.hint
            assert len(name) < 4 or repr(name) in caught.value.hint

    def test_labels_are_read_without_their_pictures(self, tmp_path: Path) -> None:
        """Label files alone still give all annotations."""
        folder = self.made(tmp_path / "out")
        files = self.format.label_files(scan(str(folder)))
        if not files:
            return
        expected = self.count_annotations(folder)
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in files:
                path.unlink()
        labels = read_labels(folder, self.format, options=self.read_options)
        check_labels(labels)
        assert sum(len(row.get("annotations", ())) for row in labels.rows) == expected

    def count_annotations(self, folder: Path) -> int:
        """How many annotations the labels in ``folder`` give, read with their pictures."""
        labels = read_labels(folder, self.format, options=self.read_options)
        return sum(len(row.get("annotations", ())) for row in labels.rows)

    def test_hostile_label_files_end_in_an_error_or_an_issue(self, tmp_path: Path) -> None:
        """Spoiled files end in an error with a hint or in a valid set, never in a traceback."""
        folder = self.made(tmp_path / "out")
        tree = scan(str(folder))
        pictures = self.format.pictures(tree)
        for name in self.format.label_files(tree):
            good = (folder / name).read_bytes()
            for spoiled in spoil(good, pictures):
                (folder / name).write_bytes(spoiled)
                self._read_hostile(folder)
            (folder / name).write_bytes(good)

    def _read_hostile(self, folder: Path) -> None:
        try:
            labels = read_labels(folder, self.format, options=self.read_options)
        except DsetkitError as found:
            error = found
        else:
            check_labels(labels)
            assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", issue.code) for issue in labels.issues)
            return
        assert error.hint


class FormatContract(ReadContract):
    """Inherit, and set ``format``; what is written is the example."""

    write_options: ClassVar[Options] = {}
    tolerance_px: ClassVar[float] = 1e-6
    """How far numbers may be off that the format writes in other units."""
    examples: ClassVar[int | None] = None
    """How many made-up exports the round trip is tried with; None for what hypothesis's profile says."""

    def plain(self) -> MemoryExport:
        """An export whose output must be recognised."""
        return plain_export(tuple(kind for kind in ("box", "image_label") if kind in self.format.capabilities.kinds))

    def made(self, folder: Path) -> Path:
        """``folder``, with the plain export in it."""
        return self.written(folder)

    def count_annotations(self, folder: Path) -> int:
        """How many annotations ``carry`` says were written."""
        rows = expected_rows(self.format, self.plain(), self.write_options)
        return sum(len(row.get("annotations", ())) for row in rows)

    def written(self, folder: Path, export: Export | None = None) -> Path:
        """The folder with an export written into it."""
        write_labels(export or self.plain(), str(folder), self.format, options=self.write_options)
        return folder

    def test_round_trip_is_exact_up_to_the_loss_report(self) -> None:
        """What is read back is what ``carry`` said; without losses, what was written."""
        count = self.examples or settings.default.max_examples  # type: ignore[union-attr]

        @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))
        @given(exports())
        def check(export: MemoryExport) -> None:
            with tempfile.TemporaryDirectory() as folder:
                dst = Path(folder) / "out"
                report = write_labels(export, dst, self.format, options=self.write_options)
                labels = read_labels(dst, self.format, options=self.read_options)
                check_labels(labels)
                expected = expected_rows(self.format, export, self.write_options)
                actual = [normal(row) for row in labels.rows]
                found = differences(expected, actual, self.tolerance_px)
                assert not found, "\n".join(found)
                if report.is_lossless:
                    self.check_kept(export, expected)
                self.check_categories(export, labels)

        check()

    def check_kept(self, export: Export, expected: Sequence[Row]) -> None:
        """That rows without a loss kept what labels say: kinds, categories and how many."""
        said = [self._said(row) for row in export.rows()]
        assert sorted(said) == sorted(self._said(row) for row in expected)

    def _said(self, row: Row) -> list[tuple[str, str]]:
        return sorted((item["kind"], item.get("category") or "") for item in row.get("annotations", ()))

    def check_categories(self, export: Export, labels: LabelSet) -> None:
        """That the list of categories, or at least the names that are used, came back."""
        found = [category.name for category in labels.categories]
        assert [category.index for category in labels.categories] == list(range(len(found)))
        used = {item["category"] for row in labels.rows for item in row.get("annotations", ()) if "category" in item}
        if self.format.capabilities.categories == "all":
            prepared = [category.name for category in export.categories]
            assert found == prepared
        assert used <= set(found)

    def test_same_export_same_bytes(self, tmp_path: Path) -> None:
        """Deterministic to the byte."""
        first, second = self.written(tmp_path / "first"), self.written(tmp_path / "second")
        assert files_of(first) == files_of(second)

    def test_pictures_come_back_byte_for_byte(self, tmp_path: Path) -> None:
        """Pictures lie where ``carry`` says, unchanged."""
        export = self.plain()
        files = files_of(self.written(tmp_path / "out", export))
        ledger = Ledger(self.format.name)
        prepared = self.format.prepare(export, self.write_options, ledger)
        for row in export.rows():
            assert files[self.format.carry(row, prepared, ledger)["key"]] == export.picture(row)

    def test_pictures_are_named_by_a_template_where_names_are_free(self, tmp_path: Path) -> None:
        """``capabilities.names`` says what of a name a user can choose, and it is what is written."""
        room = self.format.capabilities.names
        text = "{split}/{category}/{index:03d}.{ext}" if room == "free" else "{category}_{index:03d}.{ext}"
        if room == "fixed":
            with pytest.raises(UsageError, match="fixes the names"):
                named(self.plain(), self.format, text)
            return
        if room == "flat":
            with pytest.raises(UsageError, match="fixes the folder"):
                named(self.plain(), self.format, "{split}/{stem}.{ext}")
        export = named(self.plain(), self.format, text)
        folder = self.written(tmp_path / "out", export)
        files = files_of(folder)
        ledger = Ledger(self.format.name)
        prepared = self.format.prepare(export, self.write_options, ledger)
        for row in export.rows():
            key = self.format.carry(row, prepared, ledger)["key"]
            assert f"/{key}".endswith(f"/{row['key']}")
            assert files[key] == export.picture(row)
        check_labels(read_labels(folder, self.format, options=self.read_options))

    def test_what_nobody_labelled_is_told_from_what_shows_nothing_or_that_is_a_loss(self, tmp_path: Path) -> None:
        """A sample that comes back labelled and was not, or the other way round, stands in the loss report."""
        plain = self.plain()
        rows: list[Row] = [
            *plain.rows(),
            {"key": "src/shows_nothing.jpg", "width_px": 32, "height_px": 24, "labelled": "yes"},
        ]
        export = MemoryExport(rows, plain.categories)
        report = write_labels(export, tmp_path / "out", self.format, options=self.write_options)
        labels = read_labels(tmp_path / "out", self.format, options=self.read_options)
        said = {row["key"]: row.get("labelled", "no") for row in labels.rows}
        prepared = self.format.prepare(export, self.write_options, ledger := Ledger(self.format.name))
        for row in rows:
            if row.get("annotations"):
                continue
            back = said.get(self.format.carry(row, prepared, ledger)["key"], "no")
            if back != row.get("labelled", "no"):
                assert any(row["key"] in loss.examples for loss in report.refusals), f"{row['key']}: {back}"

    def test_strict_refuses_before_anything_is_written(self, tmp_path: Path) -> None:
        """A strict write of what cannot be carried leaves nothing behind."""
        dst = tmp_path / "out"
        if check_losses(lossy_export(), self.format, options=self.write_options).is_lossless:
            pytest.skip("this format loses nothing")
        with pytest.raises(LossError) as caught:
            write_labels(lossy_export(), dst, self.format, strict=True, options=self.write_options)
        assert caught.value.losses
        assert not list(tmp_path.iterdir())


def spoil(good: bytes, pictures: Sequence[str] = ("cat_1.jpg",)) -> Iterator[bytes]:
    """A label file in ways files are spoiled, by accident or on purpose; names of ``pictures`` in it, too."""
    yield b""
    yield b" \n"
    yield b"\x00" * 64
    yield bytes(range(256)) * 4
    yield b"[" * 20_000
    yield b"<" * 20_000
    yield b'{"a":' * 5_000
    for share in (3, 10, 30, 50, 70, 90, 99):
        yield good[: len(good) * share // 100]
    yield b"\xef\xbb\xbf" + good
    yield good.replace(b"\n", b"\r\n")
    yield good + b"\xff\xfe\xff"
    yield good + good
    dice = random.Random(len(good))
    for _ in range(8 if good else 0):
        start = dice.randrange(len(good))
        yield good[:start] + dice.randbytes(dice.choice((1, 2, 8))) + good[start + dice.choice((0, 1, 8)) :]
    try:
        text = good.decode()
    except UnicodeDecodeError:
        return
    yield text.encode("utf-16")
    yield text.encode("utf-16-be")
    yield text.encode("utf-32")
    numbers = [found.span() for found in re.finditer(r"(?<![\w.])-?\d+(\.\d+)?", text)]
    step = max(1, len(numbers) // 12)
    for number in _NUMBERS:
        for start, end in numbers[::step]:
            yield f"{text[:start]}{number}{text[end:]}".encode()
    stem = next((stem for path in pictures if (stem := stem_of(path)) in text), None)
    found = set() if stem is None else set(re.findall(rf"[\w/.]*{re.escape(stem)}(?:\.[A-Za-z]+)?", text))
    for name in sorted(found, key=lambda name: (-len(name), name))[:2]:
        for path in _PATHS:
            yield text.replace(name, path).encode()


_NUMBERS = ("NaN", "nan", "inf", "-Infinity", "1e999", "-1e308", "9" * 400, "-1", "x", '""', "null", "[]", "1e9999999")
_PATHS = (
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "C:\\\\x.jpg",
        "\\\\\\\\host\\\\x.jpg",
        "http://[/x.jpg",
        "..",
        "",
        "/" * 3000,
    ),
    "cat_1.jpg" * 2000,
)
