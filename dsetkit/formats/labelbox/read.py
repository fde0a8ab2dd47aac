"""Labelbox's records into rows: exports of data rows, v1 exports of labels, annotations to import."""

from __future__ import annotations

from typing import Any

from dsetkit.formats.labelbox.gather import Gathering, Place
from dsetkit.formats.labelbox.oldest import read_oldest
from dsetkit.formats.labelbox.values import dict_of, list_of, number_of, text_of
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row


class LabelboxReader(Gathering):
    """Takes records one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, *, answers_are_labels: bool = False, from_top: bool = False) -> None:
        super().__init__(pictures, answers_are_labels=answers_are_labels)
        self._pictures = pictures
        self._from_top = from_top

    def add(self, record: dict[str, Any], file: str, place: str) -> bool:
        """One record of any dialect; False, with an issue, where it is of none."""
        if isinstance(record.get("data_row"), dict):
            self._export(record, file, place)
        elif isinstance(record.get("dataRow"), dict):
            self._import(record, file, place)
        elif "Label" in record or "Labeled Data" in record:
            self._v1(record, file, place)
        else:
            hint = "An export has data_row, an import dataRow, a v1 export Labeled Data and Label."
            self.issues.add("record-unknown", "it is no record of Labelbox", file=file, place=place or None, hint=hint)
            return False
        return True

    # Exports of data rows (version 2): https://docs.labelbox.com/reference/export-image-annotations

    def _export(self, record: dict[str, Any], file: str, place: str) -> None:
        data, media = dict_of(record.get("data_row")), dict_of(record.get("media_attributes"))
        kind = text_of(media.get("asset_type")) or text_of(media.get("mime_type")).partition("/")[0]
        if kind and kind != "image":
            self.not_a_picture(kind, file, place)
            return
        url = text_of(data.get("row_data"))
        names = (text_of(data.get("external_id")), text_of(data.get("global_key")))
        row = self.data_rows.row(text_of(data.get("id")), names, url, file, place)
        if row is None:
            return
        self.size(row, media)
        self.facts(row, url, {"dataset": dict_of(data.get("details")).get("dataset_name")})
        self.metadata(Place(file, place, row), list_of(record.get("metadata_fields")), "schema_name")
        for number, project in dict_of(record.get("projects")).items():
            details = dict_of(dict_of(project).get("project_details"))
            named = {"project": dict_of(project).get("name"), "workflow_status": details.get("workflow_status")}
            self.facts(row, "", named)
            for index, label in enumerate(list_of(dict_of(project).get("labels"))):
                where = Place(file, place, row)
                self._label(where, dict_of(label), f"projects.{number}.labels[{index}]")
        for number, experiment in dict_of(record.get("experiments")).items():
            for run_id, run in dict_of(dict_of(experiment).get("runs")).items():
                self._run(Place(file, place, row), dict_of(run), f"experiments.{number}.runs.{run_id}")

    def _run(self, place: Place, run: dict[str, Any], path: str) -> None:
        """A model run: ground truth that was sent to it, and what it predicted."""
        split = text_of(run.get("data_split") or run.get("split") or dict_of(run.get("run_data_row")).get("data_split"))
        self.subset(place.row, split)
        for index, label in enumerate(list_of(run.get("labels"))):
            self._label(Place(place.file, place.place, place.row), dict_of(label), f"{path}.labels[{index}]")
        model = text_of(run.get("name")) or path.rpartition(".")[2]
        for index, label in enumerate(list_of(run.get("predictions"))):
            where = Place(place.file, place.place, place.row, model=model)
            self._annotations(where, dict_of(dict_of(label).get("annotations")), f"{path}.predictions[{index}]")

    def _label(self, place: Place, label: dict[str, Any], path: str) -> None:
        details, performance = dict_of(label.get("label_details")), dict_of(label.get("performance_details"))
        who = text_of(details.get("created_by"))
        skipped = any(part.get(name) is True for part in (performance, label) for name in ("skipped", "is_skipped"))
        seconds = number_of(performance.get("seconds_to_create"))
        self.response(place.row, who, skipped, text_of(details.get("created_at")), seconds)
        self.reviews(place.row, list_of(details.get("reviews")))
        scores = {name: number_of(performance.get(name)) for name in ("consensus_score", "benchmark_score")}
        self.facts(place.row, "", scores)
        place.annotator = who or None
        if not skipped:
            place.row["seen"] = True
            self._annotations(place, dict_of(label.get("annotations")), f"{path}.annotations")

    def _annotations(self, place: Place, annotations: dict[str, Any], path: str) -> None:
        if "frames" in annotations:
            place.row["partial"] = True
            message = "labels of a video's frames were left out"
            self.issue("video-not-read", place, message, "error", "Export pictures, or another format of videos.")
        self.objects(place, list_of(annotations.get("objects")), f"{path}.objects")
        self.classifications(place, list_of(annotations.get("classifications")), f"{path}.classifications")
        for raw in list_of(annotations.get("relationships")):
            self.relation(place, raw)

    # Exports of labels (version 1)

    def _v1(self, record: dict[str, Any], file: str, place: str) -> None:
        media = dict_of(record.get("Media Attributes"))
        kind = text_of(media.get("assetType")) or text_of(media.get("mimeType")).partition("/")[0]
        if kind and kind != "image":
            self.not_a_picture(kind, file, place)
            return
        url = text_of(record.get("Labeled Data"))
        names = (text_of(record.get("External ID")), text_of(record.get("Global Key")))
        number = text_of(record.get("DataRow ID")) or text_of(record.get("ID"))
        row = self.data_rows.row(number, names, url, file, place)
        if row is None:
            return
        self.size(row, media)
        self.facts(row, url, {"dataset": record.get("Dataset Name"), "project": record.get("Project Name")})
        self.metadata(Place(file, place, row), list_of(record.get("DataRow Metadata")), "schemaName")
        self.subset(row, text_of(record.get("Data Split")))
        label = record.get("Label")
        who, seconds = text_of(record.get("Created By")), number_of(record.get("Seconds to Label"))
        skipped = record.get("Skipped") is True or label == "Skip"
        self.response(row, who, skipped, text_of(record.get("Created At")), seconds)
        self.reviews(row, list_of(record.get("Reviews")))
        for name, given in (("consensus_score", "Agreement"), ("benchmark_score", "Benchmark Agreement")):
            score = number_of(record.get(given))
            self.facts(row, "", {name: score if score is not None and score >= 0 else None})  # -1: none
        if skipped or not isinstance(label, dict):
            return
        row["seen"] = True
        where = Place(file, place, row, who or None)
        if "objects" not in label and "classifications" not in label:
            read_oldest(self, where, label, self._height(row))
            return
        self.objects(where, list_of(label.get("objects")), "Label.objects")
        self.classifications(where, list_of(label.get("classifications")), "Label.classifications")
        for raw in list_of(label.get("relationships")):
            self.relation(where, raw)

    # Annotations to import: https://docs.labelbox.com/reference/import-image-annotations

    def _import(self, record: dict[str, Any], file: str, place: str) -> None:
        data = dict_of(record.get("dataRow"))
        number, name = text_of(data.get("id")), text_of(data.get("globalKey") or data.get("global_key"))
        row = self.data_rows.row(number, (name,), "", file, place)
        if row is None:
            return
        row["seen"] = True
        where = Place(file, place, row)
        if isinstance(record.get("relationship"), dict):
            self.relation(where, record)
        elif "answer" in record or "answers" in record:
            self.classifications(where, [record], "")
        else:
            self.objects(where, [record], "")

    def _height(self, row: Row) -> float | None:
        """What y of the oldest exports counts up to; 0 where it counts from the top, None where it is not known."""
        if self._from_top:
            return 0.0
        size = self._pictures.size(row["key"])
        return row.get("height_px") or (size[1] if size is not None else None)
