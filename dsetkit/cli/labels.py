"""``validate``, ``schema``, ``convert``, ``export``: labels in and out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import dsetkit
from dsetkit.cli.corrections import read_keys
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, REV, parse_options
from dsetkit.cli.words import plural
from dsetkit.curation.contract import Contract
from dsetkit.curation.infer import infer_schema
from dsetkit.errors import NotFoundError, UsageError
from dsetkit.formats.base import LAST_RESORT
from dsetkit.formats.export_names import FIELDS
from dsetkit.formats.loss import LossReport
from dsetkit.formats.reading import Opened
from dsetkit.snapshots.opening import read_seals
from dsetkit.spec.arrow import iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.json_schema import DOCUMENTS, json_schema, schema_text
from dsetkit.spec.sample import Sample
from dsetkit.stages.export import convert_opened, open_source
from dsetkit.stages.keyed_export import export_keys
from dsetkit.stages.labels import open_labels
from dsetkit.stages.project import Project, load_contract, load_name
from dsetkit.stages.sources import read_source
from dsetkit.storage.atomic import write_atomic
from dsetkit.storage.folder import LocalFolder, is_local

OPTION = typer.Option([], "--option", "-o", help="An option of the format, NAME=VALUE.")
STRICT = typer.Option(False, "--strict", help="Refuse, before anything is written, where something would be lost.")

NAMES = typer.Option(
    None,
    "--names",
    help="A template for the names of pictures, such as {split}/{category}/{index:06d}.{ext}; its fields are "
    f"{', '.join(FIELDS)}.",
)

schema_app = typer.Typer(help="Write a first contract, or JSON Schemas.", no_args_is_help=True, rich_markup_mode=None)


def validate(
    labels: str = typer.Argument(help="A label file, a folder of them, or a snapshot."),
    format: str | None = typer.Option(
        None, "--format", "-f", help="The label format; found from the files if left out."
    ),
    schema: str | None = typer.Option(
        None, "--schema", help="The contract, module:Name in this project; params.yaml names the default."
    ),
    option: list[str] = OPTION,
    as_json: bool = JSON,
) -> None:
    """Check labels against a contract. Exit code 1 where there are findings."""
    output = Output(as_json=as_json)
    contract = _contract(schema)
    with output.progress() as progress:
        progress.start(f"reading {labels}", None)
        if format is None and (Path(labels) / "snapshot.json").is_file():
            found: Any = dsetkit.open(labels)
            issues = []
        else:
            found = open_labels(labels, format, options=parse_options(option), look=True).labels
            issues = [*found.issues, *_annotation_issues(found)]
        if contract is not None:
            progress.start("checking", None)
            issues.extend(dsetkit.validate(found, contract))
    errors = sum(issue.count for issue in issues if issue.severity == "error")
    if as_json:
        output.json([issue.model_dump(mode="json", exclude_defaults=True) for issue in issues])
        raise typer.Exit(1 if errors else 0)
    against = f" against {contract.reference}" if contract is not None else " (no contract: name one with --schema)"
    output.heading(f"{plural(len(found), 'sample')} checked{against}: {plural(errors, 'error')}")
    output.issues(issues)
    raise typer.Exit(1 if errors else 0)


def convert(
    src: str = typer.Argument(help="Labels: a file or a folder."),
    dst: str = typer.Argument(help="A folder that is absent or empty."),
    to: str = typer.Option(..., "--to", help="The format to write."),
    source: str | None = typer.Option(None, "--from", help="The format of SRC; found from the files if left out."),
    strict: bool = STRICT,
    option: list[str] = OPTION,
    source_option: list[str] = typer.Option([], "--from-option", help="An option of the format of SRC, NAME=VALUE."),
    names: str | None = NAMES,
    as_json: bool = JSON,
) -> None:
    """Write labels in another format; say what is lost."""
    output = Output(as_json=as_json)
    with output.progress() as progress:
        progress.start(f"{src} → {dst}", None)
        opened, options = open_source(src, to, source, parse_options(option), parse_options(source_option))
        labels, report = convert_opened(opened, dst, to=to, strict=strict, options=options, names=names)
    if is_local(src) and is_local(dst) and _is_sealed(Path(src)):
        output.note_in_plain(Path(dst))
    issues = labels.issues
    if as_json:
        document = _report(report)
        document["issues"] = [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues]
        document["from"] = opened.format.name
        document["found"] = [vars(item) for item in opened.found]
        output.json(document)
        return
    _show_found(output, src, opened)
    _show_report(output, report, dst)
    output.issues(issues)


def export(
    snapshot: str = typer.Argument(help="A snapshot: a folder or any fsspec URL."),
    dst: str = typer.Argument(help="A folder that is absent or empty."),
    format: str = typer.Option(..., "--format", "-f", help="The format to write."),
    split: str | None = typer.Option(None, "--split", help="Only this split."),
    keys: str | None = typer.Option(
        None,
        "--keys",
        help="Only the samples named in this file, a key a line (- for stdin), under names that dsetkit corrections "
        "from knows again.",
    ),
    rev: str | None = REV,
    names: str | None = NAMES,
    strict: bool = STRICT,
    all_statuses: bool = typer.Option(False, "--all", help="Proposed and declined annotations too."),
    option: list[str] = OPTION,
    as_json: bool = JSON,
) -> None:
    """Write a snapshot as label files; say what is lost."""
    output = Output(as_json=as_json)
    chosen = dsetkit.open(snapshot, rev=rev)
    if split is not None:
        chosen = chosen.where(split=split)
    with output.progress() as progress:
        progress.start(f"{snapshot} → {dst}", None)
        options = parse_options(option)
        if keys is None:
            report = chosen.export(
                dst, format=format, strict=strict, all_statuses=all_statuses, options=options, names=names
            )
        else:
            if names is not None:
                raise UsageError(
                    "--keys and --names both name the pictures",
                    hint="Leave --names out: dsetkit corrections from knows the names that --keys gives.",
                )
            report = export_keys(
                chosen, read_keys(keys), dst, format=format, strict=strict, all_statuses=all_statuses, options=options
            )
    if chosen.seals is not None and is_local(dst):
        output.note_in_plain(Path(dst))
    if as_json:
        output.json(_report(report))
        return
    _show_report(output, report, dst)


@schema_app.command("infer")
def schema_infer(
    source: str = typer.Argument(help="A source of this project, or a path to labels."),
    out: Path | None = typer.Option(None, "--out", help="Where to write it; schemas/SOURCE.py for a source."),
    format: str | None = typer.Option(
        None, "--format", "-f", help="The label format; found from the files if left out."
    ),
) -> None:
    """Write a first contract from the labels that are there."""
    output = Output()
    try:
        project: Project | None = Project.find()
    except NotFoundError:
        project = None
    if project is not None and source in project.params.sources:
        labels = read_source(project.source(source), project.source_url(source), project.stat_cache).read_labels()
        module = source.replace("-", "_")
        module = module if module.isidentifier() else f"source_{module}"
        out = out or project.root / "schemas" / f"{module}.py"
    else:
        labels = dsetkit.read_labels(source, format)
        module = "labels"
    text = infer_schema(iter_rows([labels.table], Sample), "Label")
    if out is None:
        sys.stdout.write(text)
        return
    if out.exists():
        raise UsageError(f"{out} is there already", hint="Name another file with --out, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, text.encode())
    output.heading(f"Wrote {out}")
    if project is not None and out.parent == project.root / "schemas":
        output.line(f"Next: read it, mend it, and name it in params.yaml: schema: schemas.{out.stem}:Label")


@schema_app.command("export")
def schema_export(
    name: str | None = typer.Argument(
        None, help="A document (labels, params, card, lock, snapshot, correction) or module:Name; all if left out."
    ),
    out: Path | None = typer.Option(None, "--out", help="A folder to write <name>/v1.json into, instead of printing."),
) -> None:
    """Write JSON Schemas, for editors and other languages."""
    names = [name] if name is not None else list(DOCUMENTS)
    schemas: dict[str, dict[str, Any]] = {}
    for item in names:
        if item in DOCUMENTS:
            schemas[item] = json_schema(item)
        elif ":" in item:
            schemas[item.rpartition(":")[2].lower()] = _schema_of(item, Project.find().root)
        else:
            raise NotFoundError(
                f"there is no document {item!r}",
                name=item,
                hint=f"There are: {', '.join(DOCUMENTS)}; or name module:Name.",
            )
    if out is None:
        document = next(iter(schemas.values())) if name is not None else schemas
        sys.stdout.write(schema_text(document))
        return
    for item, schema in schemas.items():
        path = out / item / "v1.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, schema_text(schema).encode())
        Output().line(f"Wrote {path}")


def _schema_of(reference: str, root: Path) -> dict[str, Any]:
    """The JSON Schema of a contract for labels or for cards."""
    target = load_name(reference, root)
    if isinstance(target, type) and issubclass(target, dsetkit.DatasetCard):
        return target.model_json_schema(by_alias=True)
    return Contract(target, reference=reference).json_schema()


def _annotation_issues(labels: dsetkit.LabelSet) -> Iterator[Issue]:
    """What the reader found wrong with single annotations."""
    for row in iter_rows([labels.table], Sample):
        for item in row.get("annotations", ()):
            for finding in item.get("issues", ()):
                yield Issue(
                    code=finding["code"],
                    message=finding.get("message", ""),
                    key=row["key"],
                    annotation_id=item["id"],
                )


def _is_sealed(path: Path) -> bool:
    return (path / "snapshot.json").is_file() and read_seals(LocalFolder(path)) is not None


def _contract(reference: str | None) -> Contract | None:
    if reference is not None:
        try:
            root = Project.find().root
        except NotFoundError:
            root = Path.cwd()
        return load_contract(reference, root)
    try:
        project = Project.find()
    except NotFoundError:
        return None
    return project.contract(project.params.schema_)


def _show_found(output: Output, src: str, opened: Opened) -> None:
    """Which format was found, and why that and not another."""
    if not opened.found:
        return
    best, *others = opened.found
    output.line(f"{src} is {opened.format.title} ({best.format}): {best.why}")
    for other in others:
        if other.confidence > LAST_RESORT:
            surer = f"{best.format} is surer ({best.confidence:.2f} against {other.confidence:.2f})"
            if other.confidence == best.confidence:
                surer = f"both are equally likely, and {best.format} comes first by name"
            output.line(f"  it could be {other.format}, too: {other.why}; {surer}; to take it: --from {other.format}")


def _report(report: LossReport) -> dict[str, Any]:
    return report.model_dump(mode="json")


def _show_report(output: Output, report: LossReport, dst: str) -> None:
    output.heading(
        f"Wrote {dst} as {report.format}, from {plural(report.samples, 'sample')} with "
        f"{plural(report.annotations, 'annotation')}"
    )
    if not report.losses:
        output.line("  nothing was lost")
    for severity, style, title in (
        ("warning", "yellow", "labels that were lost or changed:"),
        ("info", "dim", "bookkeeping that does not fit:"),
    ):
        losses = [loss for loss in report.losses if loss.severity == severity]
        if losses:
            output.line(f"  {title}")
        for loss in losses:
            example = f" (for example {loss.examples[0]})" if loss.examples else ""
            output.line(f"    {loss.count:,} × {loss.message}{example} [{loss.code}]", style)


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (validate, convert, export):
        app.command()(command)
    app.add_typer(schema_app, name="schema")
