"""What only sounds private is left readable."""

from __future__ import annotations

from cutover.aws.scrub import scrub


def test_a_private_address_is_no_secret() -> None:
    """`privateIPv4Address` names an address; a mask there would blot every target out of the evidence."""
    said = {"details": [{"name": "privateIPv4Address", "value": "10.0.3.17"}], "privateIpv4Address": "10.0.3.17"}
    assert scrub(said) == said


def test_a_private_key_is_one() -> None:
    """By its name."""
    assert "MIIEvQIBADANBg" not in str(scrub({"environment": [{"name": "TLS_PRIVATE_KEY", "value": "MIIEvQIBADANBg"}]}))
