"""Messages, from the store to whoever is to be told, through Apprise (mail, Slack, webhooks and about a hundred others).

A message for a receiver is a row of the table `alerts` (signal `delivery`) before it is sent and until it has arrived: a monitor that is killed
between the two sends it again (at least once, never zero times). A receiver that fails is tried again in later rounds, after one minute, two, four,
up to an hour, for a day; nothing else waits for it.

URLs come from the operator alone: the recipe (`monitor.alerts.urls`) or `--alert URL`. `${NAME}` is taken from the environment; what is logged or
stored is the URL without its secrets. Apprise's own configuration files, attachments and plug-in folders are not read, and addresses of the link's
own network (169.254.0.0/16, fe80::/10), where clouds keep credentials, are refused.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from tunewright.core.errors import RecipeError
from tunewright.core.optional import require
from tunewright.core.urls import expanded, masked_service, without
from tunewright.monitor.alerts import DELIVERY
from tunewright.traffic.store import TrafficStore

log = logging.getLogger("tunewright.monitor")
KINDS = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}
GIVE_UP = timedelta(days=1)
LONGEST = timedelta(hours=1)
TIMEOUT = 10.0  # seconds for one receiver


@dataclass(frozen=True)
class Receiver:
    """Where messages go. `name` can be shown."""

    name: str
    mark: str  # stands for the URL in the store
    url: str
    secrets: tuple[str, ...]

    def send(self, title: str, body: str, severity: str) -> str | None:
        """Send one message; what went wrong, or None."""
        apprise = require("apprise", "monitor")
        asset = apprise.AppriseAsset(app_id="Tunewright", app_desc="Tunewright monitor", app_url="", plugin_paths=[], storage_mode="memory")
        one = apprise.Apprise(asset=asset)
        if not one.add(self.url):
            return "Apprise cannot use this URL"
        said: list[str] = []
        try:
            sent = one.notify(title=title, body=body, notify_type=KINDS[severity], body_format="text", timeout=TIMEOUT)
        except Exception as error:  # whatever a plug-in raises, the monitor goes on
            sent, said = False, [f"{type(error).__name__}: {error}"]
        return None if sent else without(list(self.secrets), said[0] if said else "it was not accepted")


def receivers(urls: Sequence[str]) -> list[Receiver]:
    """The receivers behind `urls`. Raises `RecipeError` with every URL that cannot be used."""
    found, problems = [], []
    for index, url in enumerate(urls):
        place = f"monitor.alerts.urls[{index}]: {masked_service(url)!r}"
        try:
            full, secrets = expanded(url)
        except KeyError as error:
            problems.append(f"{place} needs the environment variable {error.args[0]}, which is not set.")
            continue
        wrong = _wrong(full)
        if wrong:
            problems.append(f"{place} {wrong}")
        mark = blake2b(url.encode(), digest_size=8).hexdigest()
        found.append(Receiver(masked_service(url), mark, full, tuple(secrets)))
    if problems:
        raise RecipeError("alerts", problems)
    return found


def _wrong(url: str) -> str | None:
    if "***" in url:
        return (
            "has lost its secrets on the way into the release. Put them into the environment (${NAME} in the recipe), or give --alert URL."
        )
    if not re.match(r"[A-Za-z0-9_]+://", url):
        return "is not a URL of Apprise, such as mailto://user:${MAIL_PASSWORD}@example.org or json://127.0.0.1:9000."
    try:
        address = ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        address = None
    if address is not None and address.is_link_local:
        return "is an address of the link's own network, where clouds keep credentials. Use the receiver's own address."
    if require("apprise", "monitor").Apprise.instantiate(url, suppress_exceptions=True) is None:
        return "is not a service that Apprise knows, or something of it is missing; see https://github.com/caronc/apprise/wiki."
    return None


@dataclass(frozen=True)
class Delivery:
    """What became of the messages of one round."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    problems: tuple[str, ...] = ()


def hand_over(store: TrafficStore, model: str, to: Sequence[Receiver], message: tuple[str, str, str], moment: datetime) -> None:
    """Write a message down for each receiver; `deliver` sends it."""
    title, body, severity = message
    for one in to:
        detail: dict[str, Any] = {"receiver": one.name, "body": body, "tries": 0, "next": moment.isoformat()}
        times = {"opened": moment, "updated": moment, "closed": None, "notified": None}
        row = {"key": f"{model}/{DELIVERY}/{one.mark}", "version": model, "signal": DELIVERY, "severity": severity, "state": "pending"}
        store.save_alert(row | times | {"count": 0, "message": title, "detail": detail})


def deliver(store: TrafficStore, model: str, to: Sequence[Receiver], moment: datetime) -> Delivery:
    """Send what is written down and due."""
    import json

    by_key = {f"{model}/{DELIVERY}/{one.mark}": one for one in to}
    sent, failed, given_up, problems = 0, 0, 0, []
    for row in store.alerts(versions=model, states="pending").filter(signal=DELIVERY).to_dicts():
        detail = json.loads(row["detail"])
        receiver = by_key.get(row["key"])
        if receiver is None or moment - row["opened"] > GIVE_UP:
            given_up += 1
            why = "nobody has this address any more" if receiver is None else f"it failed for {GIVE_UP}"
            problems.append(f"{detail['receiver']}: given up, {why}")
            store.save_alert({"state": "closed", "closed": moment, "updated": moment}, row["id"])
            continue
        if datetime.fromisoformat(detail["next"]) > moment:
            continue
        wrong = receiver.send(row["message"], detail["body"], row["severity"])
        if wrong is None:
            sent += 1
            values: dict[str, Any] = {"state": "closed", "closed": moment, "notified": moment}
        else:
            failed += 1
            pause = min(LONGEST, timedelta(minutes=2 ** int(detail["tries"])))
            problems.append(f"{receiver.name}: {wrong}; tried again in {pause}")
            log.warning("alert not delivered to %s: %s", receiver.name, wrong)
            values = {"detail": {**detail, "tries": detail["tries"] + 1, "next": (moment + pause).isoformat(), "wrong": wrong}}
        store.save_alert({"updated": moment, "count": row["count"] + 1, **values}, row["id"])
    return Delivery(sent, failed, given_up, tuple(problems))
