//! The recipes of docs/issuers.md, each with a token of its provider's shape.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::foreign_providers::Site;
use crate::forge::{PrivateKey, encode, now, with};
use crate::harness::{self, Echo, Setup};

const RECIPES: &str = include_str!("../../docs/issuers.md");

/// One key for all recipes: making it takes long.
static RSA: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::rsa);

/// As PKCS#1 writes a key of 2048 bits: two numbers in a sequence.
fn rsa_jwk(id: &str) -> Value {
    let raw = RSA.public_raw();
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": encode(&raw[9..265]), "e": encode(&raw[267..]) })
}

/// The first lines of YAML beneath a heading of docs/issuers.md that hold `within`.
fn recipe(heading: &str, within: &str) -> String {
    let (_, section) = RECIPES.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.into_iter().find(|block| block.contains(within)).expect("the lines are there").to_owned()
}

/// What an upstream is told of the caller.
#[derive(Debug, PartialEq)]
struct Told {
    name: String,
    groups: String,
    email: Option<String>,
}

/// Runs a recipe: its issuer is served at this machine instead of `host`, and its token has this shape.
async fn told_by(recipe: &str, host: &str, path: &str, says: &str, header: Value, claims: Value) -> Told {
    let site = Site::start().await;
    let local = |text: &str| text.replace(host, &site.base);
    site.publish_issuer(path, &local(says), json!({ "keys": [rsa_jwk("k")] }));
    let name = recipe.lines().nth(1).expect("the name").trim().trim_end_matches(':').to_owned();
    let setup = Setup::from("routes:\n  - { path: /echo, upstream: example }\n")
        .with(&format!("defaults: {{ issuers: [{name}] }}"))
        .with(&local(recipe));
    let gw = harness::gateway(setup).await;
    let claims: Value = serde_json::from_str(&local(&claims.to_string())).expect("JSON as before");
    let claims = with(with(claims, "iat", now()), "exp", now() + 600);
    let client = gw.anonymous();
    client.set_token(Some(RSA.token(&header, &claims)));
    let echo = Echo::of(client.get("/echo").await).await;
    let only = |field: &str| echo.fields(field).first().map(|text| (*text).to_owned());
    Told {
        name: only("x-forwarded-preferred-username").expect("a name"),
        groups: only("x-forwarded-groups").unwrap_or_default(),
        email: only("x-forwarded-email"),
    }
}

fn told(name: &str, groups: &str, email: Option<&str>) -> Told {
    Told { name: name.to_owned(), groups: groups.to_owned(), email: email.map(str::to_owned) }
}

#[tokio::test]
async fn the_recipe_for_keycloak_takes_its_access_tokens() {
    let host = "https://sso.example.com";
    let issuer = format!("{host}/realms/staff");
    let claims = json!({
        "jti": "onrtac:5b4fb9d5-9a2b-4d0c-9a3e-5d9f5b2f8a10", "iss": issuer, "aud": ["billing", "account"],
        "sub": "f0a1c1d4-8f6b-4d3e-9a57-0e6a8f4f2b11", "typ": "Bearer", "azp": "frontend", "auth_time": now(),
        "sid": "6e8b4c9e-4d0a-4c62-8d11-9d1f0a6b7c22", "acr": "1", "allowed-origins": ["*"],
        "realm_access": { "roles": ["default-roles-staff", "offline_access", "Domain Admins", "uma_authorization"] },
        "resource_access": { "account": { "roles": ["manage-account", "view-profile"] } },
        "scope": "openid email profile", "email_verified": true, "name": "Zoë Müller",
        "preferred_username": "zoe", "given_name": "Zoë", "family_name": "Müller", "email": "zoe@example.com",
    });
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });

    let seen = told_by(&recipe("Keycloak", "keycloak"), host, "/realms/staff", &issuer, header, claims).await;

    assert_eq!(seen, told("staff:zoe", "admin", Some("zoe@example.com")));
}

#[tokio::test]
async fn the_recipes_for_entra_take_its_access_tokens() {
    let host = "https://login.microsoftonline.com";
    let tenant = "11111111-2222-3333-4444-555555555555";
    let issuer = format!("{host}/{tenant}/v2.0");
    let claims = |edov: Value| {
        json!({
            "aud": "6731de76-14a6-49ae-97bc-6eba6914391e", "iss": issuer, "nbf": now(), "aio": "AXQAi/8IAAAA",
            "azp": "6731de76-14a6-49ae-97bc-6eba6914391e", "azpacr": "0", "name": "Zoë Müller",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "preferred_username": "zoe@contoso.example",
            "email": "zoe@contoso.example", "xms_edov": edov, "rh": "0.AQEA", "roles": ["Billing.Admin"],
            "scp": "Invoices.Read openid", "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", "tid": tenant,
            "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0",
        })
    };
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5t": "nbCwW11w3XkB", "kid": "k" });
    let own = recipe("Entra ID", &format!("/{tenant}/v2.0"));
    let path = format!("/{tenant}/v2.0");

    for (edov, email) in [
        (json!(true), Some("zoe@contoso.example")),
        (json!("1"), Some("zoe@contoso.example")),
        (json!(false), None),
    ] {
        let seen = told_by(&own, host, &path, &issuer, header.clone(), claims(edov)).await;
        assert_eq!(seen, told("zoe@contoso.example", "admin", email));
    }
    let many = recipe("Entra ID", "{tenantid}");
    let says = format!("{host}/{{tenantid}}/v2.0");
    let seen = told_by(&many, host, "/common/v2.0", &says, header, claims(json!(1))).await;
    assert_eq!(seen, told("zoe@contoso.example", "admin", Some("zoe@contoso.example")));
}

#[tokio::test]
async fn the_recipe_for_auth0_takes_its_access_tokens() {
    let host = "https://example.eu.auth0.com";
    let issuer = format!("{host}/");
    let claims = json!({
        "https://billing.example.com/roles": ["Admin"], "https://billing.example.com/name": "Zoë Müller",
        "iss": issuer, "sub": "auth0|65f1c2d3e4f5a6b7c8d9e0f1", "azp": "AbCdEf123456", "scope": "openid profile",
        "aud": ["https://billing.example.com", "https://example.eu.auth0.com/userinfo"], "permissions": ["read:x"],
    });
    let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k" });

    let seen = told_by(&recipe("Auth0", "auth0"), host, "/", &issuer, header, claims).await;

    assert_eq!(seen, told("Zo%C3%AB%20M%C3%BCller", "admin", None));
}

#[tokio::test]
async fn the_recipe_for_cognito_takes_its_access_tokens() {
    let host = "https://cognito-idp.eu-central-1.amazonaws.com";
    let issuer = format!("{host}/eu-central-1_Ab1Cd2Ef3");
    let claims = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["admins"], "iss": issuer, "version": 2,
        "client_id": "6hgc0me4j9vexample7kq", "origin_jti": "a1b2", "token_use": "access", "auth_time": now(),
        "scope": "openid profile email", "jti": "c3d4", "username": "zoe",
    });
    let header = json!({ "kid": "k", "alg": "RS256" });

    let recipe = recipe("Amazon Cognito", "cognito");
    let seen = told_by(&recipe, host, "/eu-central-1_Ab1Cd2Ef3", &issuer, header, claims).await;

    assert_eq!(seen, told("zoe", "admin", None));
}

#[tokio::test]
async fn the_recipe_for_google_takes_its_id_tokens_under_both_spellings() {
    let host = "https://accounts.google.com";
    let header = json!({ "alg": "RS256", "kid": "k", "typ": "JWT" });
    for iss in [host, "accounts.google.com"] {
        let audience = "1234567890-abc123.apps.googleusercontent.com";
        let claims = json!({
            "iss": iss, "azp": audience, "aud": audience, "sub": "107691503500061507151", "hd": "example.com",
            "email": "zoe@example.com", "email_verified": true, "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "nonce": "n",
            "name": "Zoë Müller", "picture": "https://lh3.googleusercontent.com/a/x",
        });
        let seen = told_by(&recipe("Google", "google"), host, "", host, header.clone(), claims).await;
        assert_eq!(seen, told("zoe@example.com", "", Some("zoe@example.com")), "{iss}");
    }
}

#[tokio::test]
async fn the_recipes_for_zitadel_and_hydra_take_their_access_tokens() {
    let header = json!({ "alg": "RS256", "kid": "k", "typ": "JWT" });
    let host = "https://example.zitadel.cloud";
    let claims = json!({
        "iss": host, "aud": ["287561294712373249", "287561294712307713"], "sub": "287561294712111111", "jti": "V2_1",
        "client_id": "287561294712307713@billing",
        "urn:zitadel:iam:org:project:roles": { "billing_admin": { "2875612947": "example.zitadel.cloud" } },
    });
    let seen = told_by(&recipe("Zitadel", "zitadel"), host, "", host, header.clone(), claims).await;
    assert_eq!(seen, told("287561294712111111", "admin", None));

    let host = "https://id.example.com";
    let issuer = format!("{host}/");
    let claims = json!({
        "aud": [], "client_id": "3c1a", "ext": {}, "iss": issuer, "jti": "0d3d", "nbf": now(), "scp": ["openid"],
        "sub": "zoe",
    });
    let seen = told_by(&recipe("Ory Hydra", "hydra"), host, "", &issuer, header, claims).await;
    assert_eq!(seen, told("zoe", "", None));
}
