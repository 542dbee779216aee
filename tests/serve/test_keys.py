"""API keys: what is stored, who may what, how long, how often."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.serve.conftest import Start
from tests.serve.house import make_release, setup_of, wait_for
from tunewright.cli import main
from tunewright.core.errors import RunError
from tunewright.serve.errors import ApiError
from tunewright.serve.keys import KeyFile, digest
from tunewright.serve.limits import Rates, burst


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "registry" / "keys.json")


def ask(client: TestClient, token: str | None, path: str = "/v1/classify") -> Any:
    headers = {} if token is None else {"authorization": f"Bearer {token}".encode()}
    if path == "/metrics":
        return client.get(path, headers=headers)
    body = {"request_id": "cls-" + "0" * 24, "thumb": "up"} if path == "/v1/feedback" else {"model": "reviews", "input": "I love it"}
    return client.post(path, json=body, headers=headers)


def test_a_key_is_shown_once_and_only_its_hash_is_kept(keys: KeyFile):
    token, key = keys.create("shop")
    assert len(token) == 46
    assert token.startswith("tw-")
    assert token not in keys.path.read_text()
    assert keys.read() == (key,)
    assert key.sha256 == digest(token)
    assert keys.path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_may_read_is_refused(keys: KeyFile):
    keys.create("shop")
    os.chmod(keys.path, 0o644)
    with pytest.raises(RunError, match="chmod 600"):
        keys.read()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2, "keys": []}', '{"schema": 1, "keys": [{"id": "x"}]}'])
def test_a_file_that_is_none_of_ours_is_refused_and_stays(keys: KeyFile, text: str):
    keys.path.parent.mkdir()
    keys.path.write_text(text)
    os.chmod(keys.path, 0o600)
    with pytest.raises(RunError):
        keys.create("shop")
    assert keys.path.read_text() == text


@pytest.mark.parametrize(
    "wrong", [{"name": "a\nb"}, {"name": ""}, {"scopes": ["root"]}, {"scopes": []}, {"days": 0}, {"requests_per_minute": 0}]
)
def test_a_key_that_makes_no_sense_is_not_made(keys: KeyFile, wrong: dict[str, Any]):
    with pytest.raises(RunError):
        keys.create(**{"name": "shop", **wrong})
    assert not keys.path.exists()


def test_rotation_leaves_both_valid_for_the_overlap_and_keeps_rights_and_life(keys: KeyFile):
    _, old = keys.create("shop", scopes=["infer"], days=30, requests_per_minute=7)
    _, new = keys.rotate("shop", overlap=timedelta(hours=2))
    now = datetime.now(UTC)
    old = keys.find(old.id)
    assert (old.state(now), old.state(now + timedelta(hours=3))) == ("valid", "expired")
    assert (new.scopes, new.requests_per_minute, new.replaces) == (("infer",), 7, old.id)
    assert new.state(now + timedelta(days=29)) == "valid"
    assert new.state(now + timedelta(days=31)) == "expired"


def test_a_revoked_key_cannot_be_rotated_and_a_name_may_be_used_again(keys: KeyFile):
    _, first = keys.create("shop")
    keys.revoke("shop")
    with pytest.raises(RunError, match="revoked"):
        keys.rotate(first.id, overlap=timedelta())
    _, second = keys.create("shop")
    assert keys.find("shop").id == second.id


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    where = ["--registry", str(tmp_path)]
    assert main(["keys", "create", "shop", "--scopes", "infer,metrics", "--days", "2", *where]) == 0
    token = capsys.readouterr().out.splitlines()[0]
    assert main(["keys", "list", "--json", *where]) == 0
    listed = json.loads(capsys.readouterr().out)["keys"]
    assert [(one["name"], one["state"], one["scopes"]) for one in listed] == [("shop", "valid", ["infer", "metrics"])]
    assert "sha256" not in listed[0]
    assert main(["keys", "rotate", "shop", "--overlap-hours", "0", *where]) == 0
    fresh = capsys.readouterr().out.splitlines()[0]
    assert fresh != token
    assert main(["keys", "revoke", "shop", *where]) == 0
    capsys.readouterr()
    assert main(["keys", "list", *where]) == 0
    assert "revoked" in capsys.readouterr().out
    assert main(["keys", "revoke", "nix", *where]) == 2
    assert main(["keys", "create", "x", "--scopes", "root", *where]) == 2
    assert main(["keys", "rotate", "shop", "--overlap-hours", "-1", *where]) == 2


@pytest.fixture
def guarded(start: Start, tmp_path: Path, keys: KeyFile) -> TestClient:
    """An app that asks for keys."""
    keys.create("first", scopes=["infer"])
    return start(setup=setup_of(tmp_path, make_release(tmp_path / "reviews"), keys_file=keys.path, needs_key=True))


def refresh(client: TestClient) -> None:
    client.portal.call(client.app.state.service._watch.look)


@pytest.mark.parametrize("token", [None, "", "tw-", "tw-" + "x" * 43, "tw-" + "x" * 10_000, "é"])
def test_no_key_no_answer(guarded: TestClient, token: str | None):
    response = ask(guarded, token)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["type"] == "authentication_error"


def test_nothing_is_read_before_the_key_is_checked(guarded: TestClient):
    response = guarded.post("/v1/classify", content=b"{" * 1000, headers={"content-type": "text/nonsense"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["infer"], {"/v1/classify"}),
        (["feedback"], {"/v1/feedback"}),
        (["metrics"], {"/metrics"}),
        (["admin"], {"/v1/classify", "/v1/feedback", "/metrics"}),
    ],
)
def test_a_scope_is_what_a_key_may_do(guarded: TestClient, keys: KeyFile, scopes: list[str], allowed: set[str]):
    token, _ = keys.create("one", scopes=scopes)
    refresh(guarded)
    for path in ("/v1/classify", "/v1/feedback", "/metrics"):
        assert (ask(guarded, token, path).status_code < 300) == (path in allowed)
        assert path in allowed or ask(guarded, token, path).status_code == 403
    assert guarded.get("/health").status_code == 200


def test_expired_and_revoked_keys_end_at_once(guarded: TestClient, keys: KeyFile):
    token, key = keys.create("one")
    short, _ = keys.create("two", days=1e-6)
    refresh(guarded)
    assert ask(guarded, token).status_code == 200
    assert wait_for(lambda: ask(guarded, short).status_code == 401, 3)
    keys.revoke(key.id)
    refresh(guarded)
    assert ask(guarded, token).json()["error"]["message"] == "This API key is revoked."


def test_keys_stay_asked_for_when_their_file_goes_away_or_breaks(guarded: TestClient, keys: KeyFile):
    token, _ = keys.create("one")
    refresh(guarded)
    keys.path.write_text("{")
    refresh(guarded)
    assert ask(guarded, token).status_code == 200, "the keys stay as they were"
    keys.path.unlink()
    refresh(guarded)
    assert ask(guarded, token).status_code == 401
    assert ask(guarded, None).status_code == 401


def test_the_first_key_closes_an_open_server(start: Start, tmp_path: Path, keys: KeyFile):
    client = start(setup=setup_of(tmp_path, make_release(tmp_path / "reviews"), keys_file=keys.path))
    assert ask(client, None).status_code == 200
    token, _ = keys.create("one")
    refresh(client)
    assert ask(client, None).status_code == 401
    assert ask(client, token).status_code == 200


def test_a_key_has_a_rate_of_its_own(guarded: TestClient, keys: KeyFile):
    token, _ = keys.create("slow", requests_per_minute=12)
    other, _ = keys.create("other")
    refresh(guarded)
    answers = [ask(guarded, token) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 6
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert ask(guarded, other).status_code == 200


def test_a_bucket_fills_again_at_its_rate():
    now = [0.0]
    rates = Rates(lambda: now[0])

    def granted() -> int:
        count = 0
        while True:
            try:
                rates.take("k", 60)
            except ApiError:
                return count
            count += 1

    assert granted() == burst(60) == 10
    now[0] += 3.0
    assert granted() == 3
    now[0] += 1000.0
    assert granted() == 10


def test_the_log_names_the_key_by_its_id(guarded: TestClient, keys: KeyFile, tmp_path: Path):
    token, key = keys.create("one")
    refresh(guarded)
    ask(guarded, token)
    guarded.app.state.service._traffic.flush()
    from tests.serve.house import exchanges

    rows = exchanges(tmp_path)
    assert [one["key"] for one in rows] == [key.id]
    assert all(token not in str(one) for one in rows)
