from __future__ import annotations

import io
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import decode
from dsetkit.imaging.measure import measure, phash, sharpness
from dsetkit.imaging.probe import probe, read_size, stored_size
from dsetkit.spec.arrow import rows_from_table, table_from_rows
from dsetkit.spec.sample import Sample


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_fields_fit_a_sample(encoded, exif):
    fields = probe(encoded("JPEG", exif=exif(6)))
    assert set(fields) == {
        *("media_type", "width_px", "height_px", "mode", "exif_orientation", "phash", "sharpness", "brightness"),
        *("contrast", "channel_mean", "channel_std"),
    }
    assert (fields["width_px"], fields["height_px"], fields["mode"]) == (30, 40, "RGB")
    Sample.model_validate({"key": "a/b.jpg", **fields})
    row = {"key": "a/b.jpg", **fields}
    (back,) = rows_from_table(table_from_rows([row], Sample), Sample)
    assert back == {**row, "channel_mean": list(row["channel_mean"]), "channel_std": list(row["channel_std"])}


def test_no_orientation_is_left_out(encoded):
    assert "exif_orientation" not in probe(encoded("JPEG"))


def test_statistics_are_those_of_numpy(picture):
    image = picture("RGB", (61, 47))
    levels = np.asarray(image).astype(float) / 255
    grey = np.asarray(image.convert("L")).astype(float) / 255
    found = measure(image)
    assert found["channel_mean"] == pytest.approx(levels.mean((0, 1)), abs=1e-12)
    assert found["channel_std"] == pytest.approx(levels.std((0, 1)), abs=1e-12)
    assert (found["brightness"], found["contrast"]) == pytest.approx((grey.mean(), grey.std()), abs=1e-12)


def test_grey_pictures_have_three_equal_channels(picture):
    grey, color = measure(picture("L")), measure(picture("L").convert("RGB"))
    assert grey == color


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F"])
def test_every_mode_is_measured(picture, mode):
    found = measure(picture(mode))
    assert 0 < found["brightness"] < 1
    assert 0 < found["contrast"] <= 0.5
    assert len(found["channel_mean"]) == len(found["channel_std"]) == 3


def test_what_is_transparent_is_measured_as_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert measure(clear)["brightness"] == 1.0


def test_black_and_white_are_the_ends():
    for level, mean in ((0, 0.0), (255, 1.0)):
        found = measure(Image.new("RGB", (9, 7), (level,) * 3))
        assert (found["brightness"], found["contrast"], found["sharpness"], found["phash"]) == (mean, 0.0, 0.0, 0)


def test_sixteen_bits_measure_as_their_upper_eight():
    levels = np.arange(48 * 64, dtype="<u2").reshape(48, 64) * 20
    high = Image.fromarray(levels)
    assert measure(high) == measure(Image.fromarray((levels >> 8).astype(np.uint8)))


def test_sharpness_is_the_variance_of_the_laplacian():
    levels = np.random.default_rng(1).integers(0, 256, (20, 30))
    expected = (
        levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * levels[1:-1, 1:-1]
    ).var()
    assert sharpness(Image.fromarray(levels.astype(np.uint8))) == pytest.approx(expected, rel=1e-12)
    assert sharpness(Image.new("L", (2, 50))) == 0.0
    edges = Image.fromarray(np.indices((600, 9)).sum(0).astype(np.uint8) % 2 * 255)
    assert sharpness(edges) > 60_000  # the largest Laplacians there are do not overflow


def test_blur_lowers_sharpness(picture):
    image = picture("L", (300, 200))
    assert sharpness(image.filter(ImageFilter.GaussianBlur(2))) < sharpness(image) / 4


def test_sharpness_does_not_follow_the_size(picture):
    image = picture("RGB", (640, 512)).filter(ImageFilter.GaussianBlur(1))
    large = image.resize((2000, 1600), Image.Resampling.BICUBIC)
    assert measure(large)["sharpness"] == pytest.approx(measure(image)["sharpness"], rel=0.5)


def test_hash_stays_near_under_small_changes_and_far_otherwise(picture, encoded):
    image = picture("RGB", (200, 150))
    own = measure(image)["phash"]
    again = decode(encoded("JPEG", image, quality=40)).image
    half = image.resize((100, 75), Image.Resampling.BICUBIC)
    brighter = image.point([min(255, level + 20) for level in range(256)] * 3)
    for near in (again, half, brighter):
        assert distance(measure(near)["phash"], own) <= 4
    for turn in (Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT):
        assert distance(measure(image.transpose(turn))["phash"], own) > 10
    assert 0 <= own < 2**64


PINNED_HASH = 12285202223580655732


def test_hash_is_pinned():
    """The hash is stored in snapshots: it may only change together with ``PIXELS_VERSION``."""
    y, x = np.mgrid[0:64, 0:64]
    assert phash(Image.fromarray(((x * x + 3 * y * x + 7 * y) // 70 % 256).astype(np.uint8))) == PINNED_HASH


def test_threads_measure_the_same(encoded, picture):
    pictures = [encoded("JPEG", picture(seed=seed)) for seed in range(16)]
    alone = [probe(data) for data in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(probe, pictures * 4)) == alone * 4


def test_probe_refuses_with_a_code(encoded):
    with pytest.raises(PictureError, match="more than the 100 allowed") as caught:
        probe(encoded(), max_pixels=100)
    assert caught.value.code == "picture-bomb"


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "ICO", "JPEG2000", "PPM", "AVIF", "TGA"]
)
def test_sizes_from_the_header(encoded, format):
    data = encoded(format, **({"sizes": [(40, 30)]} if format == "ICO" else {}))
    assert read_size(data) == stored_size(data) == (40, 30)
    with io.BytesIO(data) as file:
        assert read_size(file) == (40, 30)
        assert not file.closed


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_header_sizes_know_upright_from_stored(encoded, exif, format):
    data = encoded(format, exif=exif(8))
    assert read_size(data) == (30, 40)
    assert stored_size(data) == (40, 30)


def test_an_orientation_behind_the_pixels_is_found(encoded, exif):
    data = encoded("PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    late = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert read_size(late) == (30, 40)
    assert probe(late)["exif_orientation"] == 6


def test_a_header_suffices_and_pixels_are_not_decoded(encoded, picture):
    data = encoded("JPEG", picture(size=(640, 480)))
    assert read_size(data[:1000]) == (640, 480)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_no_size_of_what_is_no_picture(data):
    assert read_size(data) is None
    assert stored_size(data) is None


@pytest.mark.realdata
@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
def test_pictures_of_every_orientation_are_one_picture(shared_data, kind):
    files = [(shared_data / "exif-orientation" / f"{kind}_{number}.jpg").read_bytes() for number in range(9)]
    found = [probe(data) for data in files]
    assert len({(one["width_px"], one["height_px"]) for one in found}) == 1
    assert [one.get("exif_orientation") for one in found] == [None, *range(1, 9)]
    assert max(distance(one["phash"], found[1]["phash"]) for one in found) <= 4
    assert [read_size(data) for data in files] == [(one["width_px"], one["height_px"]) for one in found]


@pytest.mark.realdata
def test_header_sizes_agree_with_decoded_ones(shared_data):
    for path in sorted((shared_data / "odd-images").rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        try:
            image = decode(data).image
        except PictureError:
            continue
        assert read_size(data) == image.size, path.name


@pytest.mark.realdata
def test_exact_duplicates_hash_alike_and_means_lie_in_range(shared_data):
    for path in sorted((shared_data / "image-issues").rglob("*.jpg"))[:40]:
        try:
            found = probe(path.read_bytes())
        except PictureError:
            continue
        assert 0 <= found["brightness"] <= 1
        assert all(math.isfinite(value) and 0 <= value <= 1 for value in found["channel_mean"] + found["channel_std"])
