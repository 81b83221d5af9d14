"""Importing large libraries: no garbage is collected meanwhile, and it is again afterwards."""

import gc

import pytest

from limner.bot.importing import importing


def test_no_garbage_is_collected_inside_the_block_and_again_after_it() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_what_was_imported_is_not_looked_through_again() -> None:
    with importing():
        module: list[object] = []
    assert all(one is not module for one in gc.get_objects())
    gc.unfreeze()
