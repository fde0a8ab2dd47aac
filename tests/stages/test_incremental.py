"""A rebuild with everything in memory gives the bytes of a build from nothing, whatever was edited."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.bench import Bench, picture_bytes, tree_bytes

from dsetkit.storage.atomic import remove_tree

RECIPES: dict[str, Any] = {
    "flip": {"operations": [{"op": "flip"}]},
    "turn": {"operations": [{"op": "rotate"}, {"op": "brightness_contrast"}], "fill": "edge"},
}


class Edits(RuleBasedStateMachine):
    """A dataset's life: pictures come, go and change; so do labels, thresholds and recipes."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.bench = Bench(Path(self.folder.name) / "project")
        self.bench.params(
            shards={"target_bytes": 4096},
            clean={"max_invalid": 1.0, "pixels.mode": "RGB"},
            augment={"recipes": RECIPES},
        )
        for number in range(6):
            self.bench.source.put(f"{number}.jpg", picture_bytes(number), [("cat", [4.0, 4.0, 20.0, 16.0])])
        self.bench.add()
        self.stale = True

    @rule(number=st.integers(0, 12), seed=st.integers(0, 9), grey=st.booleans())
    def put(self, number: int, seed: int, grey: bool) -> None:
        data = picture_bytes(seed)
        if grey:
            import io

            from PIL import Image

            buffer = io.BytesIO()
            Image.open(io.BytesIO(data)).convert("L").save(buffer, "JPEG")
            data = buffer.getvalue()
        self.bench.source.put(f"{number}.jpg", data, [("dog", [float(seed), 1.0, 9.0, 9.0])])
        self.stale = True

    @rule(number=st.integers(0, 12))
    def take(self, number: int) -> None:
        if len(self.bench.source.pictures) > 2:
            self.bench.source.pictures.pop(f"{number}.jpg", None)
            self.bench.source.boxes.pop(f"{number}.jpg", None)
            self.stale = True

    @rule(number=st.integers(0, 12), x=st.integers(-3, 70))
    def label(self, number: int, x: int) -> None:
        if f"{number}.jpg" in self.bench.source.pictures:
            self.bench.source.boxes[f"{number}.jpg"] = [("cat", [float(x), 2.0, 12.0, 10.0])]
            self.stale = True

    @rule(side=st.sampled_from([None, 40, 60]), near=st.sampled_from(["group", "drop"]))
    def change_params(self, side: int | None, near: str) -> None:
        self.bench.params(clean={"pixels.max_side_px": side, "duplicates.near": near})
        self.stale = True

    @rule(names=st.sets(st.sampled_from(sorted(RECIPES))))
    def change_recipes(self, names: set[str]) -> None:
        self.bench.params(augment={"recipes": {name: RECIPES[name] for name in sorted(names)}})
        self.stale = True

    @invariant()
    def same_as_from_nothing(self) -> None:
        if not getattr(self, "stale", False):
            return
        self.stale = False
        self.bench.update()
        self.bench.build()
        incremental = tree_bytes(self.bench.root / "data")
        remove_tree(self.bench.root / "data")
        self.bench.build()
        assert tree_bytes(self.bench.root / "data") == incremental

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


Edits.TestCase.settings = settings(max_examples=6, stateful_step_count=6, deadline=None)
TestEdits = Edits.TestCase
