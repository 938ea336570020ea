// simple-oauth2 and oauth4webapi: login, refresh, revoke, and a wrong password.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, api, username, password] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const { ResourceOwnerPassword } = require("simple-oauth2");
const oauth = await import(pathToFileURL(require.resolve("oauth4webapi")));

async function counts(token) {
  const answer = await fetch(`${api}/me`, { headers: { authorization: `Bearer ${token}` } });
  return answer.status === 200;
}

async function withSimpleOAuth2() {
  const { origin, pathname } = new URL(api);
  const client = new ResourceOwnerPassword({
    client: { id: "app", secret: "secret" },
    auth: { tokenHost: origin, tokenPath: `${pathname}/token`, revokePath: `${pathname}/revoke` },
  });
  await assert.rejects(client.getToken({ username, password: "wrong" }), (error) => {
    assert.equal(error.data.payload.error, "invalid_grant");
    return true;
  });
  const first = await client.getToken({ username, password });
  assert.ok(await counts(first.token.access_token));
  const second = await first.refresh();
  assert.notEqual(second.token.refresh_token, first.token.refresh_token);
  assert.ok(await counts(second.token.access_token));
  await second.revokeAll();
  assert.ok(!(await counts(second.token.access_token)));
  await assert.rejects(second.refresh());
}

async function withOAuth4WebApi() {
  const server = {
    issuer: new URL(api).origin,
    token_endpoint: `${api}/token`,
    revocation_endpoint: `${api}/revoke`,
    jwks_uri: `${new URL(api).origin}/.well-known/jwks.json`,
  };
  const client = { client_id: "app" };
  const none = oauth.None();
  const options = { [oauth.allowInsecureRequests]: true };
  const login = async (secret) => {
    const fields = new URLSearchParams({ username, password: secret });
    const answer = await oauth.genericTokenEndpointRequest(server, client, none, "password", fields, options);
    return oauth.processGenericTokenEndpointResponse(server, client, answer);
  };
  await assert.rejects(login("wrong"), (error) => {
    assert.equal(error.error, "invalid_grant");
    return true;
  });
  const first = await login(password);
  const keys = await (await fetch(server.jwks_uri)).json();
  if (keys.keys.length > 0) {
    const request = new Request(`${api}/me`, { headers: { authorization: `Bearer ${first.access_token}` } });
    const claims = await oauth.validateJwtAccessToken(server, request, "portcullis", options);
    assert.equal(claims.client_id, "portcullis");
  }
  const answer = await oauth.refreshTokenGrantRequest(server, client, none, first.refresh_token, options);
  const second = await oauth.processRefreshTokenResponse(server, client, answer);
  assert.notEqual(second.refresh_token, first.refresh_token);
  assert.ok(await counts(second.access_token));
  const revoked = await oauth.revocationRequest(server, client, none, second.refresh_token, options);
  await oauth.processRevocationResponse(revoked);
  assert.ok(!(await counts(second.access_token)));
}

for (const [name, library] of [["simple-oauth2", withSimpleOAuth2], ["oauth4webapi", withOAuth4WebApi]]) {
  await library();
  console.log(`${name}: login, refresh, revoke`);
}
