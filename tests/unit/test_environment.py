import pytest
from pydantic import ValidationError

from credit_scoring.core.owners import Owner
from credit_scoring.environment import Environment


def test_a_process_works_for_the_default_tenant_unless_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for told in (None, ""):
        monkeypatch.setenv("CREDIT_TENANT", told) if told is not None else monkeypatch.delenv("CREDIT_TENANT", False)
        assert Environment().owner("cards") == Owner("default", "cards")
    monkeypatch.setenv("CREDIT_TENANT", "Bänk & Söhne")
    assert Environment().owner("cards") == Owner("Bänk & Söhne", "cards")


@pytest.mark.parametrize("tenant", ["a" * 129, "a\tb", "a\x7f"])
def test_a_tenant_is_at_most_128_printable_characters(monkeypatch, tenant):
    monkeypatch.setenv("CREDIT_TENANT", tenant)
    with pytest.raises(ValidationError, match="tenant"):
        Environment()


def test_a_tenant_of_128_characters_is_taken(monkeypatch):
    monkeypatch.setenv("CREDIT_TENANT", "a" * 128)
    assert Environment().tenant == "a" * 128
