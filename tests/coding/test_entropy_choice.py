"""Which entropy format a stream gets, and what follows from it."""

import pytest

from dcvc_cli.codec.choices import ENTROPY_FORMATS
from dcvc_cli.codec.entropy_choice import MAX_COMPACT_SAMPLES, entropy_format_for
from dcvc_cli.codec.latents import latent_table
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.entropy.tables import gaussian_table, wide_gaussian_table
from dcvc_cli.format.entropy_format import SHARED_FORMATS, EntropyFormat
from dcvc_cli.format.types import PictureSize


@pytest.mark.parametrize(
    ("width", "height", "entropy_format"),
    [
        (1, 1, EntropyFormat.COMPACT),
        (176, 144, EntropyFormat.COMPACT),
        (1280, 720, EntropyFormat.COMPACT),
        (1279, 705, EntropyFormat.COMPACT),
        (1280, 721, EntropyFormat.PARTITIONED),
        (1281, 720, EntropyFormat.PARTITIONED),
        (8192, 16, EntropyFormat.COMPACT),
        (1920, 1080, EntropyFormat.PARTITIONED),
    ],
)
def test_small_pictures_are_compact(width: int, height: int, entropy_format: EntropyFormat):
    """The limit counts padded samples."""
    assert MAX_COMPACT_SAMPLES == 1280 * 720
    assert entropy_format_for(PictureSize(width, height)) is entropy_format


def test_every_format_has_a_name_on_the_command_line():
    assert {
        name: None if chosen is None else chosen.name.lower().replace("_", "-")
        for name, chosen in ENTROPY_FORMATS.items()
    } == {
        "auto": None,
        **{name: name for name in ENTROPY_FORMATS if name != "auto"},
    }
    assert set(ENTROPY_FORMATS.values()) == {None, *SHARED_FORMATS}
    assert EncodeSettings().coding_choices().entropy_format is None
    assert EncodeSettings(entropy_format="compact").coding_choices().entropy_format is EntropyFormat.COMPACT


def test_tables_of_the_formats():
    assert [entropy_format.is_published for entropy_format in SHARED_FORMATS] == [True, True, False, False]
    for entropy_format in SHARED_FORMATS:
        assert latent_table(entropy_format) is (
            gaussian_table() if entropy_format.is_published else wide_gaussian_table()
        )
