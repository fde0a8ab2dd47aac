"""What each command does and prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.bench import Bench, picture_bytes


def build(run: Callable, bench: Bench) -> None:
    bench.params(augment={"recipes": {"flip": {"operations": [{"op": "flip"}]}}})
    for arguments in (("add", "pets", "../source"), ("ingest", "pets"), ("clean",), ("augment",)):
        ran = run(*arguments)
        assert ran.code == 0, ran.err


def test_init_writes_a_project_and_overwrites_nothing(run: Callable, tmp_path: Path) -> None:
    root = tmp_path / "new"
    ran = run("init", str(root), "--json")
    assert ran.code == 0
    assert ran.json()["created"] == ["git repository", "DVC repository"]
    assert {path.name for path in root.iterdir()} == {
        ".dvc", ".dvcignore", ".git", "corrections", "data", "dvc.yaml", "params.yaml", "schemas", "sources.lock.yaml",
        "tools.lock.yaml",
    }  # fmt: skip
    assert "type = hardlink, copy" in (root / ".dvc" / "config").read_text()
    again = run("init", str(root))
    assert again.code == 2
    assert "holds a project already" in again.err


def test_the_params_it_writes_are_the_defaults(bench: Bench) -> None:
    from dsetkit.spec.card import DatasetCard
    from dsetkit.spec.params import Params

    assert bench.project.params == Params(card=DatasetCard(schema="schemas.card:Card"))


def test_add_says_what_it_found_and_why(run: Callable, bench: Bench) -> None:
    ran = run("add", "pets", "../source", "--license", "MIT")
    assert ran.out.startswith("Added pets: 4 pictures, 1 label file, ")
    assert "format coco: " in ran.out
    text = (bench.root / "params.yaml").read_text()
    assert "path: ../source\n" in text
    assert "format: coco" in text
    assert "# left empty" in text or "left empty" in text  # comments stay
    lock = (bench.root / "sources.lock.yaml").read_text()
    assert "pictures: 4" in lock


def test_status_knows_what_is_built_and_what_is_stale(run: Callable, bench: Bench) -> None:
    assert run("status").code == 1
    build(run, bench)
    ran = run("status", "--json")
    assert ran.code == 0
    assert {item["name"]: item["state"] for item in ran.json()["snapshots"]} == {
        "raw/pets": "built", "cleaned": "built", "augmented": "built",
    }  # fmt: skip
    bench.params(clean={"max_invalid": 0.5})
    ran = run("status", "--json")
    assert ran.code == 1
    assert {item["name"]: item["state"] for item in ran.json()["snapshots"]} == {
        "raw/pets": "built", "cleaned": "stale", "augmented": "stale",
    }  # fmt: skip


def test_status_counts_in_numbers_and_words_them_for_people(run: Callable, bench: Bench) -> None:
    run("add", "pets", "../source")
    (source,) = run("status", "--json").json()["sources"]
    assert (source["state"], source["detail"]) == ("locked", [])
    assert (source["lock"]["pictures"], source["lock"]["labels"]) == (4, 1)
    assert "pets    locked  4 pictures, 1 label file\n" in run("status").out
    bench.source.put("4.jpg", picture_bytes(4), [])
    bench.source.write()
    (source,) = run("status", "--json").json()["sources"]
    assert (source["state"], source["detail"][0]) == ("changed", "1 new: images/4.jpg")
    assert source["lock"]["pictures"] == 4


def test_remove_takes_a_source_out(run: Callable, bench: Bench) -> None:
    build(run, bench)
    assert run("remove", "pets").code == 0
    assert not (bench.root / "data/raw/pets").exists()
    assert "pets" not in (bench.root / "params.yaml").read_text()
    assert (bench.root / "sources.lock.yaml").read_text() == "{}\n"
    assert bench.source.folder.is_dir()


def test_show_a_snapshot_and_a_sample(run: Callable, bench: Bench, tmp_path: Path) -> None:
    build(run, bench)
    ran = run("show", "data/cleaned")
    assert ran.out.startswith("cleaned  4 samples, 4 annotations\n")
    assert "normalise by x' = (x − mean) / std of train" in ran.out
    png = tmp_path / "one.png"
    ran = run("show", "data/cleaned", "2.jpg", "--png", str(png))
    assert ran.out.startswith("pets/images/2.jpg\n  64×48 px, image/jpeg, RGB")
    with Image.open(png) as drawn:
        assert drawn.size == (512, 384)  # enlarged
    assert run("show", "data/cleaned", "--png", str(png)).code == 0
    assert run("show", "data/cleaned", "2.jpg", "--json").json()["annotations"][0]["category"] == "cat"
    missing = run("show", "data/cleaned", "22.jpg")
    assert missing.code == 2
    assert "22.jpg" in missing.err


def test_why_tells_a_samples_story(run: Callable, bench: Bench) -> None:
    bench.source.put("twin.jpg", bench.source.pictures["0.jpg"], [("cat", [4.0, 4.0, 20.0, 16.0])])
    bench.source.boxes["1.jpg"] = [("cat", [5.0, 5.0, 0.0, 4.0]), ("cat", [50.0, 30.0, 15.0, 10.0])]
    bench.source.write()
    build(run, bench)
    twin = run("why", "twin.jpg")
    assert "raw/pets: kept, 1 annotation" in twin.out
    assert "cleaned: rejected, duplicate ('pets/images/0.jpg' has the same bytes)" in twin.out
    mended = run("why", "pets/images/1.jpg")
    assert "annotation 2 (cat) turned away: box-degenerate" in mended.out
    assert "clipped" in mended.out
    kept = run("why", "0.jpg", "--json").json()
    assert kept["stages"][1]["duplicates"] == ["pets/images/twin.jpg"]
    variant = run("why", "0@flip.0.jpg").out
    assert "a variant of pets/images/0.jpg" in variant
    assert "raw/pets: kept, 1 annotation" in variant
    gone = run("show", "data/cleaned", "twin.jpg")
    assert gone.err == (
        "error: pets/images/twin.jpg was turned away by cleaned.\nSee why: dsetkit why pets/images/twin.jpg.\n"
    )
    nobody = run("why", "nobody.jpg")
    assert nobody.code == 2
    assert nobody.err.startswith("error: no snapshot knows a sample 'nobody.jpg'.\n")


def test_why_finds_what_ingest_turned_away_by_the_end_of_its_key(run: Callable, bench: Bench) -> None:
    bench.source.put("torn.jpg", picture_bytes(7)[:-400], [("cat", [4.0, 4.0, 20.0, 16.0])])
    bench.source.write()
    build(run, bench)
    assert "raw/pets: rejected, picture-truncated" in run("why", "torn.jpg").out
    shown = run("show", "data/raw/pets").out
    assert "turned away: 1 sample (with 1 annotation)" in shown


def test_verify_finds_a_flipped_byte(run: Callable, bench: Bench) -> None:
    build(run, bench)
    assert run("verify", "data/raw/pets").code == 0  # a raw snapshot has no card
    shard = next((bench.root / "data/cleaned/shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    ran = run("verify", "data/cleaned")
    assert ran.code == 1
    assert shard.name in ran.out
    assert "pets/images/" in ran.out


def test_help_fits_a_narrow_terminal(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert "..." not in run("--help").out.partition("Commands:")[2]


def test_formats_are_listed(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("formats", "--json").json()
    assert {"coco", "csv", "image_folder", "voc", "yolo"} <= {item["name"] for item in found}
    assert all("frame" in item["options"] and item["names"] in ("free", "flat", "fixed") for item in found)
    assert "option pixels: one_based" in run("formats", "voc").out
    lines = run("formats").out.splitlines()
    assert lines[0].split() == [
        *("format", "r/w", "kinds", "holes", "parts", "attributes", "annotator", "split", "track", "score"),
        "unlabelled",
    ]
    assert any(line.split() == ["csv", "r", "w", "label,", "box", "–", "–", "one", "–", "–", "yes"] for line in lines)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("formats").out.splitlines()
    assert narrow[0].split() == ["format", "r/w", "kinds"]
    assert max(map(len, narrow[:-1])) <= 80


def test_convert_says_what_it_found_and_why(run: Callable, bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "two"
    source.mkdir()
    (source / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
    )
    (source / "labels.csv").write_text("filename,class,xmin,ymin,xmax,ymax\na.jpg,cat,0,0,5,5\n")
    lines = run("convert", str(source), str(tmp_path / "coco"), "--to", "coco").out.splitlines()
    assert lines[:2] == [
        f"{source} is Pascal VOC (voc): found 1 XML file whose root element is <annotation>",
        "  it could be csv, too: found labels.csv with columns for boxes; voc is surer (0.95 against 0.40); "
        "to take it: --from csv",
    ]
    told = run("convert", str(source), str(tmp_path / "b"), "--to", "coco", "--json").json()
    assert told["from"] == "voc"
    assert [item["format"] for item in told["found"]] == ["voc", "csv"]
    assert "could be" not in run("convert", str(source), str(tmp_path / "c"), "--to", "coco", "--from", "csv").out


def test_names_of_pictures_by_a_template(run: Callable, bench: Bench, tmp_path: Path) -> None:
    template = "{split}/{category}/{index:03d}.{ext}"
    assert run("convert", "../source", str(tmp_path / "a"), "--to", "coco", "--names", template).code == 0
    assert (tmp_path / "a" / "images" / "none" / "cat" / "000.jpg").is_file()
    wrong = run("convert", "../source", str(tmp_path / "b"), "--to", "coco", "--names", "{splitt}.{ext}")
    assert wrong.code == 2
    assert "Did you mean {split}?" in wrong.err
    flat = run("convert", "../source", str(tmp_path / "b"), "--to", "yolo", "--names", template)
    assert flat.code == 2
    assert "fixes the folder" in flat.err


def test_the_frame_is_an_option_of_every_format(run: Callable, bench: Bench, tmp_path: Path) -> None:
    for command in (["validate", "../source"], ["convert", "../source", str(tmp_path / "a"), "--to", "voc"]):
        assert run(*command, "--option", "frame=stored").code == 0
        wrong = run(*command, "--option", "frame=sideways")
        assert wrong.code == 2
        assert "It is one of: auto, stored, upright." in wrong.err


def test_validate_with_a_contract(run: Callable, bench: Bench) -> None:
    (bench.root / "schemas" / "pets.py").write_text(
        "from typing import Literal\nimport dsetkit\nclass Label(dsetkit.Annotation):\n    category: Literal['dog']\n"
    )
    labels = "../source/annotations.json"
    fine = run("validate", labels)
    assert fine.code == 0
    assert "no contract" in fine.out
    ran = run("validate", labels, "--format", "coco", "--schema", "schemas.pets:Label")
    assert ran.code == 1
    assert "category 'cat' is not one of 'dog'" in ran.out
    assert ran.out.startswith("4 samples checked against schemas.pets:Label: 4 errors\n")  # no emoji for :Label:
    assert len(run("validate", labels, "--schema", "schemas.pets:Label", "--json").json()) == 4


def test_validate_says_what_the_reader_found(run: Callable, tmp_path: Path) -> None:
    corners = "<xmin>5</xmin><ymin>5</ymin><xmax>5</xmax><ymax>5</ymax>"
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.jpg</filename><size><width>9</width><height>9</height><depth>3</depth></size>"
        f"<object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>"
    )
    ran = run("validate", str(tmp_path), "--format", "voc", "--json")
    assert ran.code == 1
    assert [item["code"] for item in ran.json() if "annotation_id" in item] == ["box-degenerate"]


def test_schema_infer_and_export(run: Callable, bench: Bench, tmp_path: Path) -> None:
    run("add", "pets", "../source")
    ran = run("schema", "infer", "pets")
    assert ran.code == 0, ran.err
    assert (bench.root / "schemas" / "pets.py").is_file()
    assert run("validate", "../source/annotations.json", "--schema", "schemas.pets:Label").code == 0
    assert run("schema", "infer", "pets").code == 2  # not overwritten
    assert json.loads(run("schema", "export", "params").out)["title"] == "Params"
    assert run("schema", "export", "--out", str(tmp_path / "json")).code == 0
    assert (tmp_path / "json" / "labels" / "v1.json").is_file()


def test_convert_and_export(run: Callable, bench: Bench, tmp_path: Path) -> None:
    ran = run("convert", "../source", str(tmp_path / "voc"), "--to", "voc", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json()["samples"], ran.json()["annotations"]) == (4, 4)
    back = run("convert", str(tmp_path / "voc"), str(tmp_path / "yolo"), "--from", "voc", "--to", "yolo")
    assert back.out.startswith(f"Wrote {tmp_path / 'yolo'} as yolo, from 4 samples with 4 annotations\n")
    build(run, bench)
    ran = run("export", "data/augmented", str(tmp_path / "out"), "--format", "coco", "--split", "train")
    assert ran.code == 0, ran.err
    again = run("export", "data/augmented", "../out", "--format", "coco")
    assert again.code == 2
    assert again.err.startswith("error: ../out is not empty.\n")
    ran = run("export", "data/augmented", str(tmp_path / "none"), "--format", "coco", "--split", "holdout")
    assert ran.code == 2
    assert "train" in ran.err
    ran = run("export", "data/cleaned", str(tmp_path / "classes"), "--format", "image_folder", "--strict")
    assert ran.code == 1
    assert not (tmp_path / "classes").exists()


def test_convert_says_where_it_found_no_pictures(run: Callable, bench: Bench, tmp_path: Path) -> None:
    said = (
        "labels alone were written: none of the 4 pictures is in ../source/annotations.json. Where there are pictures, "
    )
    ran = run("convert", "../source/annotations.json", str(tmp_path / "a"), "--to", "yolo")
    assert ran.code == 0
    assert f"  {said}name the folder that holds both. [picture-missing]\n" in ran.out
    assert not (tmp_path / "a" / "images").exists()
    told = run("convert", "../source/annotations.json", str(tmp_path / "b"), "--to", "voc", "--json").json()
    assert [(item["code"], item["severity"]) for item in told["issues"]] == [("picture-missing", "warning")]
    both = run("convert", "../source", str(tmp_path / "c"), "--to", "yolo", "--json")
    assert both.json()["issues"] == []
    assert len(list((tmp_path / "c" / "images").rglob("*.jpg"))) == 4


def test_names_from_data_cannot_drive_the_terminal(run: Callable, bench: Bench) -> None:
    bench.source.categories = ["[red]cat[/red]\x1b[31m", "dog"]
    for name in list(bench.source.boxes):
        bench.source.boxes[name] = [("[red]cat[/red]\x1b[31m", [4.0, 4.0, 20.0, 16.0])]
    bench.source.put("[bold].jpg", picture_bytes(9), [("dog", [1.0, 1.0, 9.0, 9.0])])
    bench.source.write()
    build(run, bench)
    out = run("show", "data/cleaned").out
    assert "\x1b" not in out
    assert "[red]cat[/red]" in out
