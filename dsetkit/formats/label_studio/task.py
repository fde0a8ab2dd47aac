"""One task into the sheets of its pictures: annotations, predictions and drafts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsetkit.formats.label_studio.filing import Filing, Origin
from dsetkit.formats.label_studio.results import read_results
from dsetkit.formats.label_studio.sheets import Sheet
from dsetkit.formats.label_studio.task_pictures import Reading, TaskPictures
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.spec.arrow import Row

_ORDER = ("no", "partial", "yes")


class TaskReader:
    """Reads one task; ``number`` is its place in the file."""

    def __init__(self, reading: Reading, task: Row, number: int, notes: FileNotes) -> None:
        self.reading = reading
        self.task = task
        self.place = f"[{number}]"
        self.notes = notes
        self.pictures = TaskPictures(reading, task, number, notes)
        self.own = self.pictures.own
        self.sheets: list[Sheet] = []
        self.labelled = "no"
        self.incomplete: set[int] = set()
        self.predicted: dict[str, dict[str, str]] = {}
        """Prediction id → region id → annotation id."""

    def read(self) -> None:
        """Everything in it."""
        self.sheets = self.pictures.find()
        if not self.sheets:
            return
        annotations = self._list("annotations") or self._list("completions")
        predictions = [*self._list("predictions"), *self._embedded(annotations)]
        self.pictures.find_sizes(self.sheets)
        # Predictions are told after annotations, so that these keep their ids; but what an annotation corrects has to
        # be known before it is linked.
        later: list[tuple[Filing, Any, Row]] = []
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

    def _read_annotation(self, place: str, annotation: Row) -> tuple[Filing, Any]:
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
    ) -> Filing:
        filing = Filing(self.sheets, Origin(place, prefix, fields, score, extras or {}), self.notes)
        read_results(filing, holder.get("result"), self.reading.keypoint_names)
        self.incomplete |= filing.incomplete
        for name, above in filing.above.items():
            self.reading.above.setdefault(name, above)
        for at, name, value, where in filing.answers:
            for sheet in self.sheets if at is None else [self.sheets[at]]:
                known = sheet.row["attributes"].setdefault(name, value)
                if known != value:
                    message = f"{name} is {shown(known)} above and {shown(value)} here; the first counts"
                    self.notes.add(
                        "answer-differs", message, where, "Settle it in Label Studio.", "warning", sheet.row["key"]
                    )
        return filing

    def _link(self, results: Filing, parent: Any, annotation: Row) -> None:
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
