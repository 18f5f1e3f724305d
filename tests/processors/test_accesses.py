"""Keys of others' services: from the environment or an agency's settings, in pairs, never shown."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from processors.integrations.access import HUBSPOT_URL, Access, access_of
from processors.integrations.kinds import Provider
from processors.settings import Settings, load_settings
from streamq import Fail
from streamq.errors import InvalidSetting

KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"  # the example of RFC 8291


def settings(**environ: str) -> Settings:
    return load_settings(production=False, environ=environ)


def test_the_operators_accesses_are_pairs_of_variables() -> None:
    found = settings(
        ZAPIER_WEBHOOK_URL="https://hooks.zapier.com/hooks/catch/1/a/",
        SALESFORCE_INSTANCE_URL="https://sol.my.salesforce.com/",
        SALESFORCE_API_KEY="s",
        HUBSPOT_API_KEY="h",
        PORTAL_API_KEY="without an address it is nothing",
    ).accesses

    assert found == {
        Provider.ZAPIER: Access("https://hooks.zapier.com/hooks/catch/1/a", ""),
        Provider.SALESFORCE: Access("https://sol.my.salesforce.com", "s"),
        Provider.HUBSPOT: Access(HUBSPOT_URL, "h"),
    }


def test_a_key_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")

    found = settings(HUBSPOT_API_KEY_FILE=str(tmp_path / "key")).accesses

    assert found[Provider.HUBSPOT].key == "from-a-file"


def test_an_agencys_own_pair_goes_before_the_operators() -> None:
    operators = {Provider.HUBSPOT: Access(HUBSPOT_URL, "theirs")}

    assert access_of(Provider.HUBSPOT, {"apiKey": "own"}, operators).key == "own"
    assert access_of(Provider.HUBSPOT, {}, operators).key == "theirs"
    assert access_of(Provider.HUBSPOT, {"apiKey": 7}, operators).key == "theirs"


@pytest.mark.parametrize(
    ("provider", "config"),
    [
        (Provider.HUBSPOT, {"baseUrl": "https://evil.example"}),
        (Provider.SALESFORCE, {"instanceUrl": "https://evil.example"}),
        (Provider.SALESFORCE, {"apiKey": "own"}),
        (Provider.PORTAL, {"baseUrl": "https://evil.example"}),
        (Provider.ZAPIER, {"secret": "own"}),
    ],
)
def test_half_a_pair_is_never_completed_by_the_operators(
    provider: Provider, config: Mapping[str, object]
) -> None:
    operators = {each: Access("https://ours.example", "ours") for each in Provider}

    with pytest.raises(Fail, match="hold only a part"):
        access_of(provider, config, operators)


def test_neither_url_nor_key_is_shown() -> None:
    found = settings(HUBSPOT_API_KEY="canary", ZAPIER_WEBHOOK_URL="https://x.example/canary")

    assert "canary" not in repr(found)


def test_the_key_for_web_push_is_checked_at_the_start_and_not_shown() -> None:
    assert settings().vapid is None
    vapid = settings(VAPID_PRIVATE_KEY=KEY, FROM_EMAIL="Sol <oi@sol.com>").vapid
    assert vapid is not None and vapid.subject == "mailto:oi@sol.com"
    own = settings(VAPID_PRIVATE_KEY=KEY, VAPID_SUBJECT="https://sol.com").vapid
    assert own is not None and own.subject == "https://sol.com"

    with pytest.raises(InvalidSetting, match=r"VAPID_PRIVATE_KEY.*no private key of P-256") as bad:
        settings(VAPID_PRIVATE_KEY=KEY[:-4])
    assert KEY[:-4] not in str(bad.value)
