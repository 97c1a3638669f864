"""Which zone database is newer, and what a folder says of its own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from promptyoself.domain.localtime import zone
from promptyoself.domain.zone_versions import is_newer
from promptyoself.zone_files import ZoneFiles
from tests.fakes.zones import WITH_DST, WITHOUT_DST, lay, pretended

OLDEST_FIRST = ["2024b", "2025a", "2025b", "2025b, package 2025b", "2025b, package 2026a", "2025z", "2025aa", "2026a"]


@pytest.mark.parametrize(("older", "newer"), list(pairwise(OLDEST_FIRST)))
def test_releases_have_an_order(older: str, newer: str) -> None:
    assert is_newer(newer, older) is True
    assert is_newer(older, newer) is False
    assert is_newer(newer, newer) is False


def test_what_zones_are_read_from_first_decides() -> None:
    assert is_newer("package 2026a", "2025b, package 2026a") is True
    assert is_newer("2026b, package 2025b", "2026a, package 2026f") is True


@pytest.mark.parametrize("version", ["files 3f9a0c", "files 3f9a0c, package 2025b", "none", "of the system"])
def test_a_fingerprint_has_no_order(version: str) -> None:
    assert is_newer(version, "2025b") is None
    assert is_newer("2025b", version) is None


def test_a_folder_says_its_version_or_is_told_by_what_is_in_it() -> None:
    files = ZoneFiles()
    with pretended() as folder:
        package = files.version()
        assert package.startswith("package 20")
        lay(folder, "2031c", Europe__Riga=WITH_DST)
        assert files.version() == f"2031c, {package}"
        lay(folder, None)
        (folder / "+VERSION").write_text("2031d\n")
        assert files.version() == f"2031d, {package}"
        (folder / "+VERSION").unlink()
        first = files.version()
        assert first.startswith("files ")
        assert files.version() == first
        lay(folder, None, Europe__Riga=WITHOUT_DST)
        assert files.version() not in {first, package}


def test_what_was_read_of_a_zone_is_forgotten() -> None:
    from promptyoself.domain.triggers import next_fire_at
    from tests.factories import NOW, a_trigger

    daily = a_trigger(kind="cron", expression="0 9 1 7 *", timezone="Europe/Riga")
    counted = a_trigger(
        kind="rrule", expression="FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=1;BYHOUR=9;COUNT=3", timezone="Europe/Riga"
    )
    with pretended() as folder:
        for rule, hour in ((WITH_DST, 6), (WITHOUT_DST, 7)):
            lay(folder, "2031a", Europe__Riga=rule)
            ZoneFiles().forget()
            for trigger in (daily, counted):
                at = next_fire_at(trigger, after=NOW)
                assert at is not None
                assert at.hour == hour
        assert zone("Europe/Riga") is zone("Europe/Riga")
