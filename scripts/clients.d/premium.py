"""Asks a running odograph for the premiums of a policy and for the trace of the first, by the client made from the document.

usage: premium.py URL CLIENT_ID CLIENT_SECRET POLICY
"""

import json
import sys
from decimal import Decimal

from odograph_client import AuthenticatedClient, Client
from odograph_client.api.access import issue_token
from odograph_client.api.policies import get_policy
from odograph_client.api.premiums import get_premium, list_premiums
from odograph_client.models import Policy, PremiumWithTrace, Problem, TokenAnswer, TokenForm
from odograph_client.models.list_premium import ListPremium


def main(url: str, client_id: str, client_secret: str, policy: str) -> None:
    form = TokenForm(grant_type="client_credentials", client_id=client_id, client_secret=client_secret)
    answer = issue_token.sync(client=Client(base_url=url), body=form)
    assert isinstance(answer, TokenAnswer), answer
    api = AuthenticatedClient(base_url=url, token=answer.access_token)

    listed = list_premiums.sync(policy, client=api, limit=1)
    assert isinstance(listed, ListPremium), listed
    assert listed.items, f"no premium of {policy}"

    premium = get_premium.sync(listed.items[0].id, client=api)
    assert isinstance(premium, PremiumWithTrace), premium
    amount = Decimal(premium.premium.amount)
    assert Decimal(premium.trace[-1].value) == amount, premium
    told = {
        "period": premium.period,
        "amount": premium.premium.amount,
        "currency": premium.premium.currency,
        "steps": [step.step for step in premium.trace],
    }
    print(json.dumps(told, separators=(",", ":")))

    # Errors have their type as well.
    absent = get_policy.sync("no-such-policy", client=api)
    assert not isinstance(absent, Policy)
    assert isinstance(absent, Problem) and absent.code == "not_found", absent


if __name__ == "__main__":
    main(*sys.argv[1:])
