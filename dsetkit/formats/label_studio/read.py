"""Task files into rows: each task's pictures, its annotations, predictions and drafts, joined by picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.label_studio.config import Config
from dsetkit.formats.label_studio.own import OwnSample, read_own
from dsetkit.formats.label_studio.pictures import image_key, names_of, texts_of, uri_of
from dsetkit.formats.label_studio.results import ResultsReader
from dsetkit.formats.label_studio.sheets import Origin, Sheet, declared_size
from dsetkit.formats.label_studio.tasks import iter_tasks, parse
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_ORDER = ("no", "partial", "yes")


class TasksReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, config: Config, issues: IssueList, key: str | None = None) -> None:
        self.pictures = pictures
        self.config = config
        self.issues = issues
        self.key = key
        """The field of a task's data that holds the picture, as a user says."""
        self.sheets: dict[str, Sheet] = {}
        self.above: dict[str, str] = {}
        self.keypoint_names: dict[str, dict[str, None]] = {}

    def add(self, path: str, data: bytes) -> None:
        """Read one file. Raises ``FormatError`` for one that holds no tasks."""
        notes = FileNotes(self.issues, path)
        for index, task in iter_tasks(parse(data, path), self.config.choices, notes):
            _TaskReader(self, task, f"[{index}]", notes).read()

    def finish(self) -> LabelSet:
        """All that was read."""
        drafts: dict[str, Row] = {name: dict(fields) for name, fields in self.config.categories.items()}
        for sheet in self.sheets.values():
            for annotation in sheet.row["annotations"]:
                names = annotation.get("categories") or [annotation.get("category")]
                for name in names:
                    if name is not None:
                        drafts.setdefault(name, {})
        for name, above in self.above.items():
            if name in drafts:
                drafts[name].setdefault("supercategory", above)
        for name, points in self.keypoint_names.items():
            drafts[name]["keypoint_names"] = list(points)
        categories = [
            Category.model_validate({**draft, "name": name, "index": index})
            for index, (name, draft) in enumerate(drafts.items())
        ]
        rows = [
            {name: value for name, value in sheet.row.items() if value not in ([], {})}
            for sheet in self.sheets.values()
        ]
        return LabelSet.from_rows(rows, categories, issues=self.issues.all())


class _TaskReader:
    """Reads one task."""

    def __init__(self, reader: TasksReader, task: Row, place: str, notes: FileNotes) -> None:
        self.reader = reader
        self.task = task
        self.place = place
        self.notes = notes
        self.sheets: list[Sheet] = []
        self.labelled = "no"
        self.incomplete: set[int] = set()
        self.predicted: dict[str, dict[str, str]] = {}
        """Prediction id → region id → annotation id."""
        self.own = read_own(task.get("meta"), OwnSample, notes.issues, notes.path, f"{place}.meta")

    def read(self) -> None:
        """Everything in it."""
        self._find_pictures()
        if not self.sheets:
            return
        annotations = self._list("annotations") or self._list("completions")
        predictions = [*self._list("predictions"), *self._embedded(annotations)]
        self._find_sizes()
        # Predictions are told after annotations, so that these keep their ids; but what an annotation corrects has to
        # be known before it is linked.
        later: list[tuple[ResultsReader, Any, Row]] = []
        for place, annotation in annotations:
            later.append((*self._read_annotation(place, annotation), annotation))
        for place, prediction in predictions:
            self._read_prediction(place, prediction)
        for place, draft in self._list("drafts"):
            user = _annotator(draft.get("user") or draft.get("created_username"))
            fields: Row = {"status": "proposed"} | ({"annotator": user} if user else {})
            self._run(place, f"draft{draft.get('id', '')}", draft, fields)
            self.labelled = max(self.labelled, "partial", key=_ORDER.index)
        for results, parent, annotation in later:
            self._link(results, parent, annotation)
        self._finish()

    def _list(self, name: str) -> list[tuple[str, Row]]:
        """Place and content of each object in a list of the task."""
        given = self.task.get(name)
        found = []
        for number, one in enumerate(given if isinstance(given, list) else ()):
            place = f"{self.place}.{name}[{number}]"
            if isinstance(one, dict):
                found.append((place, one))
            elif name != "drafts":
                hint = "Export the project with the results themselves."
                self.notes.add("annotation-invalid", f"it is {shown(one)}, not an object", place, hint)
        return found

    def _embedded(self, annotations: list[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
        """Predictions that stand only in the annotations that began as them."""
        known = {str(prediction.get("id")) for _, prediction in self._list("predictions")}
        for place, annotation in annotations:
            prediction = annotation.get("prediction")
            if isinstance(prediction, dict) and prediction.get("result") and str(prediction.get("id")) not in known:
                known.add(str(prediction.get("id")))
                yield f"{place}.prediction", prediction

    def _find_pictures(self) -> None:
        data: Mapping[str, Any] = self.task["data"]
        field = image_key(data, self.reader.key, self.reader.config.image_keys)
        texts = texts_of(data[field]) if field is not None else []
        if not texts:
            hint = "Name the field of the data that holds the picture with the option image_key, if there is one."
            said = ", ".join(map(str, data)) or "nothing"
            message = f"its data names no picture ({said[:80]}); the task was left out"
            self.notes.add("task-without-picture", message, f"{self.place}.data", hint, "warning")
            return
        for number, text in enumerate(texts):
            place = f"{self.place}.data.{field}" + (f"[{number}]" if len(texts) > 1 else "")
            key = self._key(text, place)
            if key is not None and len(texts) == 1:
                key = self._apart(key, place)
            if key is None:
                if len(texts) > 1:
                    self.sheets = []
                    return  # results count pictures
                continue
            sheet = self.reader.sheets.get(key)
            if sheet is None:
                row: Row = {"key": key, "annotations": [], "attributes": {}, "responses": [], "provenance": {}}
                sheet = self.reader.sheets[key] = Sheet(row, self.notes.path)
            self.sheets.append(sheet)
            self._facts(sheet.row, field, text, number if len(texts) > 1 else None)

    def _key(self, text: str, place: str) -> str | None:
        pictures, issues = self.reader.pictures, self.notes.issues
        near = self.notes.path.rpartition("/")[0]
        names = names_of(text, self.task.get("file_upload"))
        if not names:
            message = "its picture stands in the task itself, which is not read; the task was left out"
            self.notes.add("picture-embedded", message, place, "Put the picture into a file, and name that.")
            return None
        known = next((name for name in names if len(pictures.candidates(name, near)) == 1), names[0])
        return pictures.key_of(known, issues, near=near, file=self.notes.path, place=place)

    def _apart(self, key: str, place: str) -> str:
        """The key, or one of the file's own where another file has a picture of that name and another size.

        Nobody can look whether they are the same picture; the files' own words must do.
        """
        known = self.reader.sheets.get(key)
        if known is None or known.file == self.notes.path or key in self.reader.pictures:
            return key
        size = next((size for holder in self._holders() for size in map(declared_size, holder) if size), None)
        if size is None or (known.row.get("width_px", size[0]) == size[0] and known.row.get("height_px") == size[1]):
            return key
        apart = reduce_name(f"{self.notes.path.rpartition('/')[2].rpartition('.')[0]}/{key}") or key
        message = f"{known.file} names a picture of another size so; here it is {apart}"
        self.notes.add("picture-apart", message, place, "Read the files as sources of their own.", "info", apart)
        return apart

    def _holders(self) -> Iterator[list[Any]]:
        """The results of everything in the task."""
        for name in ("annotations", "completions", "predictions", "drafts"):
            given = self.task.get(name)
            for one in given if isinstance(given, list) else ():
                if isinstance(one, dict) and isinstance(one.get("result"), list):
                    yield one["result"]

    def _facts(self, row: Row, field: str | None, text: str, number: int | None) -> None:
        number_of_task = self.task.get("id")
        if isinstance(number_of_task, int | str) and not isinstance(number_of_task, bool):
            row.setdefault("source_id", f"{number_of_task}" if number is None else f"{number_of_task}:{number}")
        if "source_id" in self.own:
            row.pop("source_id", None)
            row |= {"source_id": self.own["source_id"]} if self.own["source_id"] is not None else {}
        uri = uri_of(text)
        provenance = self.own.get("provenance")
        if provenance is None and uri is not None:
            provenance = {"uri": uri}
        row["provenance"] = {**(provenance or {}), **row["provenance"]}
        place = f"{self.place}.data"
        data = {name: value for name, value in self.task["data"].items() if name != field}
        meta = self.task.get("meta")
        rest = {name: value for name, value in meta.items() if name != "dsetkit"} if isinstance(meta, dict) else {}
        facts = {**data, **({"meta": rest} if rest and "meta" not in data else {}), **self.own.get("attributes", {})}
        row["attributes"] = {**self.notes.clean(facts, place), **row["attributes"]}
        for name in ("split_group", "width_px", "height_px"):
            if name in self.own:
                row.setdefault(name, self.own[name])
        for name in ("subsets", "absent_categories", "not_exhaustive_categories"):
            if self.own.get(name):
                row[name] = list(dict.fromkeys([*row.get(name, ()), *self.own[name]]))

    def _find_sizes(self) -> None:
        """The size of each picture: what a result of it says, else what was known before, else the picture's own."""
        finder = ResultsReader(self.sheets, Origin("", "", {}), self.notes, {})
        found: dict[int, tuple[int, int]] = {}
        for results in self._holders():
            for raw in results:
                size = declared_size(raw)
                at = finder.sheet_of(raw) if size is not None else None
                if size is None or at is None:
                    continue
                first = found.setdefault(at, size)
                if first != size:
                    message = (
                        f"its results say {first[0]}×{first[1]} and {size[0]}×{size[1]} px; each counts for itself"
                    )
                    key = self.sheets[at].row["key"]
                    hint = "Check that the results are of the same picture."
                    self.notes.add("size-differs", message, self.place, hint, "warning", key)
        for at, sheet in enumerate(self.sheets):
            row = sheet.row
            known = (row["width_px"], row["height_px"]) if "width_px" in row and "height_px" in row else None
            size = found.get(at)
            if known is not None and size is not None and known != size:
                message = f"it says {size[0]}×{size[1]} px, another task {known[0]}×{known[1]} px"
                self.notes.add(
                    "size-differs",
                    message,
                    self.place,
                    "Check that the tasks are of the same picture.",
                    "warning",
                    row["key"],
                )
            if known is None and size is not None:
                row["width_px"], row["height_px"] = size
            sheet.size = size or known or self.reader.pictures.size(row["key"])

    def _read_annotation(self, place: str, annotation: Row) -> tuple[ResultsReader, Any]:
        skipped = bool(annotation.get("was_cancelled") or annotation.get("skipped"))
        who = _annotator(annotation.get("completed_by"))
        fields: Row = {"annotator": who} if who else {}
        if skipped or _is_rejected(annotation):
            fields["status"] = "declined"
        extras = {"ground_truth": True} if annotation.get("ground_truth") is True else {}
        results = self._run(place, str(annotation.get("id", "")), annotation, fields, extras)
        if who:
            self._respond(annotation, who, "skipped" if skipped else "submitted")
        if not skipped:
            self.labelled = "yes"
        return results, annotation.get("parent_prediction")

    def _read_prediction(self, place: str, prediction: Row) -> None:
        number = prediction.get("id")
        fields: Row = {"origin": "model", "status": "proposed"}
        version = prediction.get("model_version")
        if isinstance(version, str | int) and version != "":
            fields["model"] = str(version)
        prefix = f"prediction{number}" if number is not None else "prediction"
        score = prediction.get("score")
        results = self._run(place, prefix, prediction, fields, {}, score if isinstance(score, int | float) else None)
        self.predicted[str(number)] = {name: made["id"] for name, (_, made) in results.made.items()}

    def _run(
        self, place: str, prefix: str, holder: Row, fields: Row, extras: Row | None = None, score: float | None = None
    ) -> ResultsReader:
        reader = ResultsReader(
            self.sheets, Origin(place, prefix, fields, score, extras or {}), self.notes, self.reader.keypoint_names
        )
        reader.read(holder.get("result"))
        self.incomplete |= reader.incomplete
        for name, above in reader.above.items():
            self.reader.above.setdefault(name, above)
        for at, name, value, where in reader.answers:
            for sheet in self.sheets if at is None else [self.sheets[at]]:
                known = sheet.row["attributes"].setdefault(name, value)
                if known != value:
                    message = f"{name} is {shown(known)} above and {shown(value)} here; the first counts"
                    self.notes.add(
                        "answer-differs", message, where, "Settle it in Label Studio.", "warning", sheet.row["key"]
                    )
        return reader

    def _link(self, results: ResultsReader, parent: Any, annotation: Row) -> None:
        """Regions that began as a prediction's: the same region id in the prediction that the annotation began as."""
        embedded = annotation.get("prediction")
        if parent is None and isinstance(embedded, dict):
            parent = embedded.get("id")
        known = self.predicted.get(str(parent)) if parent is not None else None
        if known is None and len(self.predicted) == 1:
            known = next(iter(self.predicted.values()))
        for name, (_, made) in results.made.items():
            if known and name in known and made.get("origin") in ("model", "corrected") and "based_on" not in made:
                made["based_on"] = known[name]

    def _respond(self, annotation: Row, who: str, status: str) -> None:
        response: Row = {"annotator": who}
        if status != "submitted":
            response["status"] = status
        if isinstance(annotation.get("created_at"), str):
            response["created_at"] = annotation["created_at"]
        seconds = annotation.get("lead_time")
        if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e12:
            response["seconds"] = float(seconds)
        for sheet in self.sheets:
            sheet.row["responses"].append(response)

    def _finish(self) -> None:
        labelled = self.own.get("labelled", self.labelled)
        for at, sheet in enumerate(self.sheets):
            row = sheet.row
            said = "partial" if at in self.incomplete and labelled == "yes" else labelled
            before = row.get("labelled", "no")
            row["labelled"] = max(before, said, key=_ORDER.index)
            if self.own.get("responses"):
                named = {response["annotator"] for response in self.own["responses"]}
                others = [one for one in row["responses"] if one["annotator"] not in named]
                row["responses"] = [*self.own["responses"], *others]


def _annotator(value: Any) -> str | None:
    """Who: an id, or an object with an e-mail address."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("email", "username", "id") if value.get(name)), None)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    return str(value)


def _is_rejected(annotation: Row) -> bool:
    """Whether the last review of it, by time, did not accept it."""
    given = annotation.get("reviews")
    reviews = (
        [one for one in given if isinstance(one, dict) and isinstance(one.get("accepted"), bool)]
        if isinstance(given, list)
        else []
    )
    if reviews:
        return not max(reviews, key=lambda one: str(one.get("created_at") or ""))["accepted"]
    return annotation.get("last_action") == "rejected"
