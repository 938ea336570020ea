"""requests-oauthlib and Authlib: login, refresh, revoke, and a wrong password."""

import sys

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session

API, USERNAME, PASSWORD = sys.argv[1:]
TOKEN, REVOKE, ME = f"{API}/token", f"{API}/revoke", f"{API}/me"


def counts(token):
    answer = requests.get(ME, headers={"Authorization": f"Bearer {token['access_token']}"}, timeout=30)
    return answer.status_code == 200


def check(name, first, second):
    assert first["refresh_token"] != second["refresh_token"], name
    assert first["access_token"] != second["access_token"], name
    assert counts(second), name


def with_requests_oauthlib():
    client = LegacyApplicationClient(client_id="app")
    session = OAuth2Session(client=client)
    try:
        session.fetch_token(TOKEN, username=USERNAME, password="wrong")
        raise AssertionError("a wrong password passed")
    except InvalidGrantError:
        pass
    first = dict(session.fetch_token(TOKEN, username=USERNAME, password=PASSWORD))
    assert session.get(ME).json()["username"] == USERNAME
    second = dict(session.refresh_token(TOKEN, client_id="app"))
    check("requests-oauthlib", first, second)
    url, headers, body = client.prepare_token_revocation_request(REVOKE, second["refresh_token"], "refresh_token")
    assert requests.post(url, headers=headers, data=body, timeout=30).status_code == 200
    assert not counts(second)
    try:
        session.refresh_token(TOKEN, refresh_token=second["refresh_token"], client_id="app")
        raise AssertionError("a revoked refresh token passed")
    except InvalidGrantError:
        pass


def with_authlib():
    session = AuthlibSession("app", "secret", token_endpoint=TOKEN, revocation_endpoint_auth_method="none")
    try:
        session.fetch_token(TOKEN, grant_type="password", username=USERNAME, password="wrong")
        raise AssertionError("a wrong password passed")
    except OAuthError as refused:
        assert refused.error == "invalid_grant", refused
    first = dict(session.fetch_token(TOKEN, grant_type="password", username=USERNAME, password=PASSWORD))
    assert session.get(ME).json()["username"] == USERNAME
    second = dict(session.refresh_token(TOKEN))
    check("Authlib", first, second)
    answer = session.revoke_token(REVOKE, token=second["access_token"], token_type_hint="access_token")
    assert answer.status_code == 200, answer.text
    assert not counts(second)


for library in (with_requests_oauthlib, with_authlib):
    library()
    print(f"{library.__name__.removeprefix('with_')}: login, refresh, revoke")
