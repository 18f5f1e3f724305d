"""Where a provider is called and with which key: the agency's own pair, else the operator's.

Never one of each. The agency chooses the URL in its settings: the operator's key sent there would
be the agency's.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from processors.integrations.kinds import Provider
from streamq import Fail

HUBSPOT_URL: Final = "https://api.hubapi.com"

# What the variables are called, and the names in `integration_configs.config` beside them.
VARIABLES: Final[Mapping[Provider, tuple[str, str]]] = {
    Provider.ZAPIER: ("ZAPIER_WEBHOOK_URL", "ZAPIER_SECRET"),
    Provider.SALESFORCE: ("SALESFORCE_INSTANCE_URL", "SALESFORCE_API_KEY"),
    Provider.HUBSPOT: ("HUBSPOT_URL", "HUBSPOT_API_KEY"),
    Provider.PORTAL: ("PORTAL_URL", "PORTAL_API_KEY"),
}
_NAMES: Final[Mapping[Provider, tuple[str, str]]] = {
    Provider.ZAPIER: ("webhookUrl", "secret"),
    Provider.SALESFORCE: ("instanceUrl", "apiKey"),
    Provider.HUBSPOT: ("baseUrl", "apiKey"),
    Provider.PORTAL: ("baseUrl", "apiKey"),
}


class Access(msgspec.Struct, frozen=True):
    """`url` without a slash at its end; `key` may be empty where none is needed."""

    url: str
    key: str

    def __repr__(self) -> str:
        return "Access((hidden))"  # a webhook's URL is a secret too

    @property
    def bearer(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}


Accesses = Mapping[Provider, Access]
"""The operator's, from the environment; a provider without a key is not in it."""


def accesses(environ: Mapping[str, str]) -> Accesses:
    """Those that the variables of `VARIABLES` give; secrets are read by the caller."""
    found: dict[Provider, Access] = {}
    for provider, names in VARIABLES.items():
        url, key = (environ.get(name, "").strip() for name in names)
        if made := _complete(provider, url, key):
            found[provider] = made
    return found


def access_of(provider: Provider, config: Mapping[str, object], operators: Accesses) -> Access:
    """Raises Fail, naming what is missing."""
    url, key = (_text(config, name) for name in _NAMES[provider])
    if url or key:
        own = _complete(provider, url, key)
        if own is None:
            raise Fail(
                f"the agency's settings of {provider} hold only a part of"
                f" {' and '.join(_NAMES[provider])}: the other part is needed beside it"
            )
        return own
    if provider not in operators:
        raise Fail(
            f"{provider} is connected, but there is no access: set"
            f" {' and '.join(VARIABLES[provider])}, or {' and '.join(_NAMES[provider])} in the"
            " agency's settings"
        )
    return operators[provider]


def _complete(provider: Provider, url: str, key: str) -> Access | None:
    if provider is Provider.HUBSPOT:
        url = url or HUBSPOT_URL
    needs_key = provider is not Provider.ZAPIER
    if not url or (needs_key and not key):
        return None
    return Access(url.rstrip("/"), key)


def _text(config: Mapping[str, object], name: str) -> str:
    value = config.get(name)
    return value.strip() if isinstance(value, str) else ""
