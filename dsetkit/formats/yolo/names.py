"""What goes with YOLO label files: class names, splits, keypoints; from YAML, darknet's files or a list of names.

Formats: ``data.yaml`` of Ultralytics (https://docs.ultralytics.com/datasets/detect/) and of Roboflow's exports;
``obj.data``, ``obj.names`` and list files of darknet (https://github.com/AlexeyAB/darknet); ``classes.txt`` of
labelImg, Label Studio and CVAT.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.yolo.yaml_text import MAX_YAML_BYTES, load_yaml

if TYPE_CHECKING:
    from dsetkit.storage.scan import Tree

MAX_NAMES_BYTES = 4 * 1024 * 1024
MAX_CLASS_ID = 1_000_000
MAX_KEYPOINTS = 10_000
NAME_FILES = frozenset({"classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt"})
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of splits in YAML and darknet's data files → the subset they are."""
NO_SPLIT_KEYS = frozenset(
    {"path", "names", "nc", "download", "kpt_shape", "kpt_names", "flip_idx", "channels", "roboflow", "names_file"}
    | {"description", "license", "url", "version", "author", "date", "yaml_file", "task"}
)
_GENERIC = frozenset({"images", "labels", "jpegimages", "img", "imgs", "."})


@dataclass(frozen=True)
class Naming:
    """What one such file says; it speaks for the label files in its folder and below."""

    file: str
    names: Mapping[int, str]
    """Class id → name; may have gaps."""
    splits: tuple[tuple[str, str], ...] = ()
    """(subset, path of a folder or list file as written)."""
    root: str = ""
    """``path`` as written: where splits are relative to."""
    keypoints: tuple[int, int] | None = None
    """How many, and numbers for each (2: x y; 3: x y visibility)."""
    keypoint_names: tuple[str, ...] = ()
    """Of classes that are not in ``class_points``."""
    class_points: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Class id → keypoint names, where each class has its own; maybe fewer than there are keypoints."""
    flip_pairs: tuple[tuple[int, int], ...] = ()
    task: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The folder it lies in; empty for the tree itself."""
        return self.file.rpartition("/")[0]

    def points_of(self, class_id: int) -> tuple[str, ...]:
        """The keypoint names of a class."""
        return self.class_points.get(class_id, self.keypoint_names)


def naming_files(tree: Tree) -> list[str]:
    """Paths that may hold class names or splits, sorted; by name alone, nothing is opened."""
    return [path for path in tree.entries if is_naming_file(path)]


def is_naming_file(path: str) -> bool:
    """Whether a file of this name may hold class names or splits."""
    name = path.rpartition("/")[2].lower()
    return name in NAME_FILES or name.endswith((".yaml", ".yml", ".names", ".data"))


def find_namings(tree: Tree, issues: IssueList, taken: Collection[str] = ()) -> list[Naming]:
    """All there are: where a YAML names classes those alone, else darknet's data files, else lists of names.

    ``taken`` are files known to be something else.
    """
    paths = [path for path in naming_files(tree) if path not in taken]
    found = [naming for path in paths if _is_yaml(path) and (naming := _read_yaml(tree, path, issues)) is not None]
    if not found:
        data = (_read_darknet(tree, path, issues) for path in paths if path.lower().endswith(".data"))
        found = [naming for naming in data if naming is not None]
    if not any(naming.names for naming in found):
        lists = [path for path in paths if not _is_yaml(path) and not path.lower().endswith(".data")]
        found += [Naming(path, names) for path in lists if (names := _read_names(tree, path, issues))]
    return found


def nearest(namings: Sequence[Naming], path: str) -> Naming | None:
    """The one that speaks for a label file: in the deepest folder above it, else in the folder it shares most with."""
    if not namings:
        return None

    def rank(naming: Naming) -> tuple[bool, int]:
        above = not naming.folder or path.startswith(f"{naming.folder}/")
        return above, _shared(naming.folder, path)

    return max(namings, key=rank)


def find_place(value: str, naming: Naming, known: Collection[str], *, exact: bool = False) -> str | None:
    """Where in the tree a split's path is, among ``known`` folders or files; none if it is not there.

    Tried in turn: relative to the file's folder (with ``path``, then without), to the tree, then the same with leading
    parts left out one at a time (``/home/me/ships/train/images`` → ``train/images``), as Roboflow's ``../train/images``
    and moved folders need; a last part that any dataset has (``images``) is not tried alone. ``exact`` leaves that out.
    """
    rooted = clean_parts(f"{naming.root}/{value}") if naming.root else None
    plain = clean_parts(value)
    here = clean_parts(naming.folder)
    for parts in ([*here, *rooted] if rooted is not None else None, [*here, *plain], plain):
        if parts is not None and "/".join(parts) in known:
            return "/".join(parts)
    for start in range(0 if not exact else len(plain), len(plain)):
        rest = plain[start:]
        if len(rest) == 1 and rest[0].lower() in _GENERIC:
            break
        for parts in ([*here, *rest], rest):
            if "/".join(parts) in known:
                return "/".join(parts)
        ending = "/" + "/".join(rest)
        matches = sorted(path for path in known if path.endswith(ending))
        if len(matches) == 1:
            return matches[0]
    return None


def clean_parts(path: str) -> list[str]:
    """A path's parts, whoever wrote it: Windows separators, drives, ``.`` and ``..`` taken away.

    ``..`` takes the part before it, and nothing where there is none: no path leads out of the tree.
    """
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", ".") and not part.endswith(":"):
            parts.append(part)
    return parts


def _is_yaml(path: str) -> bool:
    return path.lower().endswith((".yaml", ".yml"))


def _shared(folder: str, path: str) -> int:
    count = 0
    for one, other in zip(folder.split("/"), path.split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count


def _read_yaml(tree: Tree, path: str, issues: IssueList) -> Naming | None:
    if tree.entries[path].size_bytes > MAX_YAML_BYTES:
        issues.add("yaml-unreadable", "the file is too large to be a dataset's YAML", severity="warning", file=path)
        return None
    try:
        document = load_yaml(tree.read(path))
    except ValueError as error:
        hint = "Correct the file, or leave it out with exclude."
        issues.add("yaml-unreadable", f"not read: {error}", severity="warning", file=path, hint=hint)
        return None
    if not isinstance(document, dict) or "names" not in document:
        return None
    names = _yaml_names(document["names"], path, issues)
    declared = document.get("nc")
    if names and isinstance(declared, str) and declared.isdigit() and int(declared) != len(names):
        message = f"nc says {declared} classes, names has {len(names)}"
        issues.add("names-count", message, severity="warning", file=path, hint="The names are used.")
    splits = tuple(
        (SPLIT_KEYS.get(key, key), item)
        for key, value in document.items()
        if isinstance(key, str) and key not in NO_SPLIT_KEYS
        for item in (value if isinstance(value, list) else [value])
        if isinstance(item, str) and item.strip() not in ("", "null", "~") and (key in SPLIT_KEYS or "/" in item)
    )
    root = document.get("path")
    return Naming(
        file=path,
        names=names,
        splits=splits,
        root=root if isinstance(root, str) else "",
        **_keypoints(document, path, issues),
        task=_task(document),
        info=_info(document),
    )


def _yaml_names(value: Any, path: str, issues: IssueList) -> dict[int, str]:
    if isinstance(value, list):
        pairs: list[tuple[Any, Any]] = list(enumerate(value))
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        hint = "Write names: {0: first, 1: second}."
        issues.add("names-unreadable", "names is neither a list nor a mapping", file=path, place="names", hint=hint)
        return {}
    names: dict[int, str] = {}
    for key, name in pairs:
        number = int(key) if isinstance(key, int) or (isinstance(key, str) and key.isdecimal() and len(key) < 9) else -1
        if not isinstance(name, str) or not name or not 0 <= number <= MAX_CLASS_ID:
            said = f"the name of class {str(key)[:40]!r} is not a text" if number >= 0 else "a class id is not a number"
            issues.add("names-unreadable", said, file=path, place=f"names[{str(key)[:40]}]", hint="It was left out.")
            continue
        names[number] = name
    _check_twice(names, path, issues)
    return dict(sorted(names.items()))


def _check_twice(names: Mapping[int, str], path: str, issues: IssueList) -> None:
    seen: dict[str, int] = {}
    for number, name in names.items():
        if name in seen:
            message = f"classes {seen[name]} and {number} are both called {name[:80]!r}; they are one category"
            issues.add("names-twice", message, severity="warning", file=path, hint="Give each class a name of its own.")
        seen.setdefault(name, number)


def _task(document: Mapping[str, Any]) -> str | None:
    """``task: obb``, as dsetkit writes it and Ultralytics' own settings call it."""
    task = document.get("task")
    return task if task in ("detect", "segment", "obb", "pose") else None


def _keypoints(document: Mapping[str, Any], path: str, issues: IssueList) -> dict[str, Any]:
    """``kpt_shape: [17, 3]``, ``flip_idx: [0, 2, 1, ...]``, ``kpt_names: {0: [nose, ...]}`` (Ultralytics, pose)."""
    if "kpt_shape" not in document:
        return {}
    shape = keypoint_shape(_integers(document["kpt_shape"]))
    if shape is None:
        message = "kpt_shape is not [how many, 2 or 3]; lines are read without keypoints"
        hint = "Correct it, or pass the option kpt_shape."
        issues.add("keypoints-unreadable", message, severity="warning", file=path, place="kpt_shape", hint=hint)
        return {}
    count = shape[0]
    numbered = tuple(str(index) for index in range(count))
    named = document.get("kpt_names")
    lists = dict(named) if isinstance(named, dict) else {"": named} if named is not None else {}
    usable: dict[str, tuple[str, ...]] = {}
    for key, names in lists.items():
        texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else None
        if texts is not None and len(names) == len(set(texts)) <= count:
            usable[str(key)] = tuple(texts)
            continue
        message = f"they are no list of {count} different names or fewer; the keypoints are numbered"
        place = f"kpt_names[{str(key)[:40]}]" if key else "kpt_names"
        issues.add("keypoint-names-unreadable", message, severity="warning", file=path, place=place)
        usable[str(key)] = numbered
    flips = _integers(document.get("flip_idx"))
    fits = sorted(flips) == list(range(count)) and all(flips[other] == one for one, other in enumerate(flips))
    if document.get("flip_idx") is not None and not fits:
        message = f"flip_idx does not say of {count} keypoints which change places; it was left out"
        issues.add("flip-unreadable", message, severity="warning", file=path, place="flip_idx")
    return {
        "keypoints": shape,
        "keypoint_names": next(iter(usable.values()), numbered),
        "class_points": {int(key): names for key, names in usable.items() if key.isdecimal() and len(key) < 9},
        "flip_pairs": tuple((one, other) for one, other in enumerate(flips) if one < other) if fits else (),
    }


def keypoint_shape(numbers: Sequence[int]) -> tuple[int, int] | None:
    """How many keypoints, and numbers for each (2 or 3); None where these are not they."""
    if len(numbers) != 2 or not 1 <= numbers[0] <= MAX_KEYPOINTS or numbers[1] not in (2, 3):
        return None
    return numbers[0], numbers[1]


def _integers(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and item.isdecimal() and len(item) < 9 for item in value
    ):
        return []
    return [int(item) for item in value]


def _info(document: Mapping[str, Any]) -> dict[str, Any]:
    """Texts that say where the dataset is from: Roboflow's block and a few words at the top."""
    words = ("description", "license", "url", "version", "author", "date")
    info: dict[str, Any] = {
        key: value for key in words if isinstance(value := document.get(key), str) and len(value) <= 10_000
    }
    block = document.get("roboflow")
    if isinstance(block, dict):
        info["roboflow"] = {str(key): value for key, value in block.items() if isinstance(value, str)}
    return info


def _read_darknet(tree: Tree, path: str, issues: IssueList) -> Naming | None:
    """``key = value`` lines: ``classes``, ``train``, ``valid``, ``names``. None for another kind of file."""
    text = _read_text(tree, path, issues)
    pairs = dict(_assignments(text or ""))
    if not {"names", "train", "valid", "classes"} & set(pairs):
        return None
    splits = tuple((SPLIT_KEYS[key], value) for key, value in pairs.items() if key in SPLIT_KEYS)
    naming = Naming(file=path, names={}, splits=splits)
    if "names" not in pairs:
        return naming
    place = find_place(pairs["names"], naming, [other for other in tree.entries if is_naming_file(other)])
    if place is None:
        message = f"it names {pairs['names'][:200]!r}, which is not there"
        issues.add("names-missing", message, severity="warning", file=path, hint="Put the list of names beside it.")
        return naming
    return Naming(file=path, names=_read_names(tree, place, issues), splits=splits)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() and value.strip():
            yield key.strip().lower(), value.strip()


def _read_names(tree: Tree, path: str, issues: IssueList) -> dict[int, str]:
    """One name a line; empty lines at the end do not count, others hold their number."""
    text = _read_text(tree, path, issues)
    lines = [] if text is None else text.rstrip().splitlines()
    names = {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    _check_twice(names, path, issues)
    return names


def _read_text(tree: Tree, path: str, issues: IssueList) -> str | None:
    if tree.entries[path].size_bytes > MAX_NAMES_BYTES:
        issues.add("names-unreadable", "the file is too large for a list of names", severity="warning", file=path)
        return None
    return tree.read(path).decode("utf-8-sig", "replace")
