"""Which picture an image or frame of CVAT is of, and its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import stem_of
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.places import safe_part
from dsetkit.spec.arrow import Row


@dataclass
class Image:
    """One ``<image>``, or one frame of a video: what is said of one picture."""

    name: str
    place: str
    number: str | None = None
    subset: str | None = None
    size: tuple[int, int] | None = None
    video: str | None = None
    frame: int | None = None
    labelled: bool = False
    complete: bool = True
    annotations: list[Row] = field(default_factory=list)


@dataclass
class Store:
    """The rows of all files so far."""

    empty_is_labelled: bool
    rows: dict[str, Row] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    """Keys of pictures of which something could not be read."""


class Filing:
    """Files what one file says of pictures. ``alone``: it is the only one in its folder; ``is_only``: at all."""

    def __init__(
        self, pictures: PictureIndex, store: Store, issues: IssueList, path: str, *, alone: bool, is_only: bool
    ) -> None:
        self.pictures = pictures
        self.store = store
        self.issues = issues
        self.path = path
        self.folder = path.rpartition("/")[0]
        self.alone = alone
        self.scope = f"{self.folder}/" if self.folder and not is_only else ""
        """What paths of a video's frames begin with: each of several videos may have a frame of the same name."""

    def find(self, image: Image) -> str | None:
        """The path of the picture, where CVAT's layout has it: below ``images``, in the folder of its subset."""
        pictures, below = self.pictures, f"{self.folder}/images/" if self.folder else "images/"
        reduced = reduce_name(image.name)
        if not len(pictures) or not reduced:
            return None
        tries = [f"{below}{safe_part(image.subset)}/{reduced}"] if image.subset is not None else []
        tries += [f"{below}default/{reduced}"] if image.subset is None else []
        for path in (*tries, f"{below}{reduced}"):
            if path in pictures:
                return path
        prefer = (image.subset,) if image.subset is not None else ()
        if image.frame is not None:  # every video has a frame of that name: only one beside its own file is its own
            own = pictures.by_stem(stem_of(image.name), below.rstrip("/"), prefer)
            return own if own is not None and own.startswith(self.scope) else None
        found = pictures.candidates(image.name, self.folder, prefer)
        if found:
            return found[0] if len(found) == 1 else None
        return pictures.by_stem(image.name, below.rstrip("/"), prefer)

    def file(self, images: Sequence[Image]) -> None:
        """Puts images under keys: of pictures, else made of their names."""
        found = [self.find(image) for image in images]
        missing = Counter(image.name for image, path in zip(images, found, strict=True) if path is None)
        for image, path in zip(images, found, strict=True):
            key = path if path is not None else self._made_key(image, missing[image.name] > 1)
            if key is None:
                continue
            self._put(image, key)

    def _made_key(self, image: Image, is_several: bool) -> str | None:
        if image.frame is None:
            name = image.name
            if is_several and image.subset is not None:
                name = f"{safe_part(image.subset)}/{name}"
            prefer = (image.subset,) if image.subset is not None else ()
            return self.pictures.key_of(
                name, self.issues, near=self.folder, prefer=prefer, file=self.path, place=image.place
            )
        parts = [
            self.folder,
            "" if self.alone else stem_of(self.path),
            safe_part(image.subset or "") * bool(image.subset),
        ]
        return "/".join(part for part in (*parts, image.name) if part)

    def _put(self, image: Image, key: str) -> None:
        store = self.store
        known = store.rows.get(key)
        if not image.complete:
            store.partial.add(key)
        said = "yes" if image.annotations or image.labelled or store.empty_is_labelled else "no"
        if known is not None:
            self._merge(known, image, key, said)
            return
        row: Row = {"key": key, "labelled": said, "annotations": image.annotations}
        if image.subset is not None:
            row["subsets"] = [image.subset]
        if image.number:
            row["source_id"] = image.number[:1000]
        if image.size is not None:
            row["width_px"], row["height_px"] = image.size
        if image.frame is not None:
            video = {} if image.video is None else {"video": image.video[:1000]}
            row["provenance"] = {**video, "frame": image.frame}
        store.rows[key] = row

    def _merge(self, known: Row, image: Image, key: str, said: str) -> None:
        """A picture that was there already: what is new is added."""
        subsets = known.get("subsets", [])
        if image.subset is not None and image.subset not in subsets:
            known["subsets"] = [*subsets, image.subset]
        known["labelled"] = "yes" if said == "yes" else known["labelled"]
        again = known["annotations"] == image.annotations
        what = "says the same of it; it was left out" if again else "labels it too; both were taken"
        message = f"{key} is there already, and this {what}"
        hint = "List each picture once."
        self.issues.add(
            "image-twice",
            message,
            severity="info" if again else "warning",
            file=self.path,
            place=image.place,
            key=key,
            hint=hint,
        )
        if not again:
            known["annotations"] = [*known["annotations"], *image.annotations]
