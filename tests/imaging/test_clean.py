from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsetkit.errors import PictureError
from dsetkit.imaging.clean import CleanResult, PixelRecipe, clean_picture
from dsetkit.imaging.decode import open_picture
from dsetkit.imaging.probe import probe
from dsetkit.spec.params import PixelsParams
from dsetkit.spec.sample import Step

MEASURES = {"phash", "sharpness", "brightness", "contrast", "channel_mean", "channel_std"}
FACTS = ("media_type", "width_px", "height_px", "mode", "exif_orientation")


def clean(data: bytes, **recipe: object) -> CleanResult:
    """Clean, and check that the fields returned say what a fresh probe of the new bytes says."""
    row = probe(data)
    result = clean_picture(data, row, PixelRecipe(**recipe))
    now, again = {**row, **result.fields}, probe(result.data)
    assert {name: now.get(name) for name in FACTS} == {name: again.get(name) for name in FACTS}
    assert result.fields.get("size_bytes", len(data)) == len(result.data)
    assert MEASURES & set(result.fields) == (MEASURES if result.decoded else set())
    assert clean_picture(data, row, PixelRecipe(**recipe)) == result  # the same twice
    for step in result.steps:
        Step.model_validate(step)
    if result.fields.get("media_type", row["media_type"]) == "image/webp" and recipe.get("mode") == "L":
        assert "L" in (row["mode"], *(step["values"].get("to") for step in result.steps))
        return result  # WebP has no grey, so that such a picture never is what was asked for
    once_more = clean_picture(result.data, {**again}, PixelRecipe(**recipe))
    assert once_more.data is result.data, "clean pictures stay as they are"
    return result


def ops(result: CleanResult) -> list[str]:
    return [step["op"] for step in result.steps]


def test_the_recipe_is_the_params():
    assert PixelRecipe(**PixelsParams().model_dump()) == PixelRecipe()
    assert set(PixelRecipe._fields) == set(PixelsParams.model_fields)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_that_is_clean_keeps_its_very_bytes(picture, encoded, format, mode):
    data = encoded(format, picture(mode))
    result = clean(data)
    assert result.data is data
    assert result == (data, {}, [], (1.0, 1.0), False)


def test_metadata_goes_without_decoding(encoded, exif):
    result = clean(encoded("JPEG", exif=exif(1), comment=b"secret"))
    assert not result.decoded
    assert result.steps == [{"op": "strip_metadata", "values": {}}]
    assert result.fields == {"size_bytes": len(result.data), "exif_orientation": None}
    assert b"secret" not in result.data


def test_metadata_stays_where_that_is_asked_for(encoded, exif):
    data = encoded("JPEG", exif=exif(1), comment=b"mine")
    assert clean(data, strip_metadata=False).data is data


def test_exif_survives_encoding_where_metadata_is_to_stay(encoded, exif):
    result = clean(encoded("JPEG", exif=exif(6) + b"camera"), strip_metadata=False)
    assert b"camera" in result.data
    assert result.fields["exif_orientation"] == 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_turned_upright(picture, encoded, exif, format):
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(format, exif=exif(6), **options)
    result = clean(data)
    assert result.steps[0] == {"op": "upright", "values": {"orientation": 6}}
    assert (result.fields["width_px"], result.fields["height_px"]) == (30, 40)
    assert result.fields["exif_orientation"] is None
    assert result.scale == (1.0, 1.0)
    expected = picture().transpose(Image.Transpose.ROTATE_270)
    difference = np.abs(np.asarray(open_picture(result.data)).astype(int) - np.asarray(expected))
    assert difference.max() == 0 if format != "JPEG" else difference.mean() < 6


def test_webp_without_loss_stays_without(picture, encoded, exif):
    result = clean(encoded("WEBP", exif=exif(3), lossless=True))
    assert result.steps[-1] == {"op": "encode", "values": {"format": "webp", "lossless": True}}
    result = clean(encoded("WEBP", exif=exif(3)))
    assert result.steps[-1] == {"op": "encode", "values": {"format": "webp", "quality": 95}}


def test_made_smaller_with_its_scale(picture, encoded):
    result = clean(encoded("JPEG", picture(size=(400, 101))), max_side_px=100, quality=80)
    assert (result.fields["width_px"], result.fields["height_px"]) == (100, 25)
    assert result.scale == (100 / 400, 25 / 101)
    assert result.steps == [
        {"op": "resize", "values": {"width_px": 100, "height_px": 25}},
        {"op": "encode", "values": {"format": "jpeg", "quality": 80}},
    ]
    assert clean(encoded("PNG", picture(size=(400, 1))), max_side_px=10).fields["height_px"] == 1
    assert not clean(encoded("JPEG", picture(size=(100, 50))), max_side_px=100).decoded


@pytest.mark.parametrize(
    ("format", "mode", "media_type", "kept"),
    [
        ("GIF", "P", "image/png", "RGB"),
        ("BMP", "RGB", "image/png", "RGB"),
        ("TIFF", "I;16", "image/png", "I;16"),
        ("TIFF", "F", "image/png", "I;16"),
        ("TIFF", "CMYK", "image/png", "RGB"),
        ("PNG", "1", "image/png", "L"),
        ("PNG", "LA", "image/png", "RGBA"),
        ("PNG", "P", "image/png", "RGB"),
        ("JPEG", "CMYK", "image/jpeg", "RGB"),
    ],
)
def test_keep_leaves_three_formats_and_four_modes(picture, encoded, format, mode, media_type, kept):
    result = clean(encoded(format, picture(mode)))
    assert (result.fields["media_type"], result.fields["mode"]) == (media_type, kept)
    assert ops(result) == (["encode"] if mode == kept else ["mode", "encode"])


def test_stretched_numbers_can_be_undone(picture, encoded):
    result = clean(encoded("TIFF", picture("F")))
    values = result.steps[0]["values"]
    assert values["from"], values["to"] == ("F", "I;16")
    stored = np.asarray(open_picture(result.data)) / 65535 * (values["high"] - values["low"]) + values["low"]
    assert np.abs(stored - np.asarray(picture("F"))).max() < 1e-4


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_mode_and_format_asked_for(picture, encoded, format, mode):
    result = clean(encoded("PNG", picture("RGBA")), format=format, mode=mode)
    assert result.fields["media_type"] == f"image/{format}"
    assert result.fields["mode"] == ("RGB" if format == "webp" else mode)


def test_alpha_goes_onto_white_in_jpeg(encoded):
    result = clean(encoded("PNG", Image.new("RGBA", (16, 16), (0, 0, 0, 0))), format="jpeg")
    assert open_picture(result.data).getpixel((5, 5)) == (255, 255, 255)
    assert result.fields["brightness"] == 1.0


def test_the_profile_stays_where_it_fits(encoded, exif, profile, picture):
    assert open_picture(clean(encoded("JPEG", icc_profile=profile, exif=exif(6))).data).info["icc_profile"] == profile
    to_grey = clean(encoded("JPEG", icc_profile=profile), mode="L")
    assert "icc_profile" not in open_picture(to_grey.data).info


def test_measures_are_of_the_new_pixels(picture, encoded):
    result = clean(encoded("BMP", picture(size=(300, 200))), max_side_px=64)
    fresh = probe(result.data)
    assert {name: result.fields[name] for name in MEASURES} == {name: fresh[name] for name in MEASURES}


def test_a_structure_not_understood_is_encoded_anew(encoded):
    data = encoded("JPEG", comment=b"secret")
    start = data.index(b"\xff\xdb")
    odd = data[:start] + b"\0\0" + data[start:]  # libjpeg skips it
    result = clean(odd)
    assert result.decoded
    assert b"secret" not in result.data
    assert ops(result) == ["encode"]


def test_animated_webp_becomes_its_first_picture(picture, encoded):
    data = encoded("WEBP", save_all=True, append_images=[picture(seed=7)], lossless=True)
    result = clean(data)
    assert result.decoded
    assert np.abs(np.asarray(open_picture(result.data)).astype(int) - np.asarray(picture())).mean() < 8


def test_bytes_that_cannot_be_decoded_are_coded(encoded):
    row = probe(encoded("GIF"))
    with pytest.raises(PictureError) as caught:
        clean_picture(encoded("GIF")[:20], row, PixelRecipe())
    assert caught.value.code in ("picture-truncated", "picture-corrupt")
    with pytest.raises(PictureError) as caught:
        clean_picture(encoded("GIF"), row, PixelRecipe(), max_pixels=10)
    assert caught.value.code == "picture-bomb"


@given(st.data())
def test_any_picture_under_any_recipe(picture, encoded, exif, data):
    format, mode = data.draw(
        st.sampled_from(
            [
                *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
                *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
                *(("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("TIFF", "F"), ("TIFF", "I;16")),
            ]
        )
    )
    size = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    options = {} if format == "GIF" else {"exif": exif(data.draw(st.integers(0, 8)))}
    clean(
        encoded(format, picture(mode, size), **options),
        mode=data.draw(st.sampled_from(["keep", "RGB", "L"])),
        max_side_px=data.draw(st.sampled_from([None, 1, 7, 32])),
        format=data.draw(st.sampled_from(["keep", "jpeg", "png", "webp"])),
    )
