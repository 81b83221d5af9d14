import pytest

from limner.generators.errors import ModelNotFound, error_site, first_cause


def load() -> None:
    try:
        raise OSError("/secret/path of a prompt")
    except OSError as error:
        raise ModelNotFound from error


def test_an_error_is_named_by_its_first_cause():
    with pytest.raises(ModelNotFound) as raised:
        load()

    assert error_site(raised.value).startswith("OSError at test_errors.py:")
    assert "secret" not in error_site(raised.value)


def test_a_chain_that_leads_back_to_itself_has_an_end():
    one, other = OSError(), ValueError()
    one.__cause__ = one
    assert first_cause(one) is one
    one.__cause__, other.__cause__ = other, one
    assert first_cause(one) is other
    assert error_site(other) == "OSError"
