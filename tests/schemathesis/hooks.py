"""Who calls: for the auth API an account, a new one whenever a request has ended its session or deleted it; for
the admin API an operator, by a token made with the key of gateway.yaml beside this file."""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid

import requests
import schemathesis

PASSWORD = "correct horse battery"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def admin_token() -> str:
    now = int(time.time())
    claims = {
        "iss": "http://localhost:8080",
        "aud": "portcullis",
        "sub": str(uuid.uuid4()),
        "jti": str(uuid.uuid4()),
        "sid": str(uuid.uuid4()),
        "iat": now,
        "exp": now + 600,
        "ver": 1,
        "roles": ["operator"],
        "preferred_username": "schemathesis",
    }
    header = {"typ": "at+jwt", "alg": "HS256", "kid": "k1"}
    signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.new(os.environ["TOKEN_SECRET"].encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{encoded(signature.digest())}"


def token_of_a_new_account() -> str:
    base = os.environ["AUTH_API"]
    account = {"username": f"u{uuid.uuid4().hex}", "password": PASSWORD}
    requests.post(f"{base}/register", json=account, timeout=10).raise_for_status()
    answer = requests.post(f"{base}/login", json=account, timeout=10)
    answer.raise_for_status()
    return answer.json()["access_token"]


def is_good(token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{os.environ['AUTH_API']}/me", headers=headers, timeout=10).status_code == 200


@schemathesis.auth(refresh_interval=None)
class Bearer:
    token = None

    def get(self, case, ctx):
        if case.path.startswith("/api/"):
            return admin_token()
        if self.token is None or not is_good(self.token):
            self.token = token_of_a_new_account()
        return self.token

    def set(self, case, data, ctx):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
