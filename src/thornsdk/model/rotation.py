"""Rotation of secrets: a new one becomes the current one, and the old ones get an end."""

from datetime import datetime

from attrs import evolve

from thornsdk.model.secret import OldSecret, Secret
from thornsdk.model.subscription import Subscription

MAX_OLD_SECRETS = 4
"""How many old secrets a subscription keeps: each costs a signature in every request."""


def rotated(subscription: Subscription, secret: Secret, *, now: datetime, until: datetime) -> Subscription:
    """Returns the subscription with another current secret.

    Args:
        subscription: As it is.
        secret: The current secret from now on.
        now: What has ended by then is left out.
        until: When the secrets before it end; one that ends earlier keeps its end.
    """
    replaced = [OldSecret(one, until) for one in subscription.secrets]
    replaced += [evolve(one, until=min(one.until, until)) for one in subscription.old_secrets]
    kept = [one for one in replaced if one.until > now and one.secret != secret]
    return evolve(subscription, secrets=secret, old_secrets=kept[:MAX_OLD_SECRETS])
