//! The descriptions of the two APIs are those of their routes, and the page over them needs nobody else.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use portcullis::config::policy::{AuthEndpoint, Destination, MethodSet};
use portcullis::rejection::Code;
use portcullis::server::load;
use serde_json::Value;

use crate::harness::{self, Client, Gateway, Reason};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// Of proxied routes alone, or of requests that reach no operation.
const ELSEWHERE: [&str; 6] = [
    "not_owner",
    "route_not_found",
    "method_not_allowed",
    "upstream_unreachable",
    "upstream_timeout",
    "wrong_host",
];

const DOCS: &str = "auth: { docs: true, limits: off }";

async fn auth_api(client: &Client) -> Value {
    let answer = client.get("/auth/openapi.json").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"] == "application/json"),
        (200, true)
    );
    answer.json().await.expect("JSON")
}

async fn admin_api(gw: &Gateway) -> Value {
    let answer = gw.admin_request(Method::GET, "/api/openapi.json").send().await.expect("it answers");
    assert_eq!(answer.status(), 200, "without a token");
    answer.json().await.expect("JSON")
}

/// Path and method of each operation.
fn described(document: &Value) -> BTreeSet<(String, Method)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").keys();
        methods.map(|method| (path.clone(), method.to_uppercase().parse().expect("a method")))
    });
    operations.collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(_, item)| item.as_object().into_iter().flatten().map(|(_, operation)| operation))
}

/// Some id, where the path has a parameter.
fn filled(path: &str) -> String {
    let id = "00000000-0000-7000-8000-000000000000";
    path.replace("{id}", id).replace("{user}", id).replace("{file}", "none.js")
}

#[tokio::test]
async fn every_route_of_the_auth_api_is_described_and_nothing_else() {
    let gw = harness::gateway(DOCS).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");
    let policy = load::load(&file).map_err(|problems| load::render(&problems)).expect("it compiles").policy;
    let routes =
        policy.routes.routes().iter().filter(|route| matches!(route.destination, Destination::Auth(_)));
    let routed: BTreeSet<(String, Method)> = routes
        .flat_map(|route| {
            let MethodSet::Only(methods) = &route.methods else { panic!("{}", route.path) };
            methods.iter().map(|method| (route.path.clone(), method.clone()))
        })
        .collect();

    let described = described(&auth_api(&gw.anonymous()).await);

    assert!(described.len() > 20, "{described:?}");
    assert_eq!(described, routed);
}

/// The wing's own router, behind the proxy's: by what it answers to an account that is logged in.
#[tokio::test]
async fn the_routers_answer_what_is_described_and_nothing_else() {
    let gw = harness::gateway(DOCS).await;
    let root = gw.admin("root").await;
    let is_known = |reason: Option<&str>| !matches!(reason, Some("route_not_found" | "method_not_allowed"));

    let (auth, admin) = (auth_api(&root).await, admin_api(&gw).await);
    for (path, method) in described(&auth) {
        // Not to end what the other calls need.
        if path == "/auth/logout" || (path == "/auth/me" && method == Method::DELETE) {
            continue;
        }
        let answer = root.send(root.request(method.clone(), &filled(&path))).await;
        assert!(is_known(answer.reason()), "{method} {path}: {answer:?}");
    }
    let known = described(&admin);
    let paths: BTreeSet<&String> = known.iter().map(|(path, _)| path).collect();
    for path in paths {
        for method in METHODS {
            let request = gw.admin_request(method.clone(), &filled(path)).bearer_auth(root.token());
            let answer = request.send().await.expect("it answers");
            let is_described = known.contains(&(path.clone(), method.clone()));
            assert_eq!(is_known(answer.reason()), is_described, "{method} {path}: {answer:?}");
            assert_eq!(answer.headers().contains_key("allow"), !is_described, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_descriptions_are_whole() {
    let gw = harness::gateway(DOCS).await;
    let documents = [auth_api(&gw.anonymous()).await, admin_api(&gw).await];
    let mut codes: BTreeSet<String> = BTreeSet::new();

    for document in &documents {
        assert_eq!(document["openapi"], "3.1.0");
        let ids: Vec<&str> =
            operations(document).map(|operation| operation["operationId"].as_str().expect("an id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        for operation in operations(document) {
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{operation}");
            for answer in operation["responses"].as_object().expect("answers").values() {
                let examples = answer["content"]["application/problem+json"]["examples"].as_object();
                codes.extend(examples.into_iter().flat_map(|examples| examples.keys().cloned()));
            }
        }
        let mut references = Vec::new();
        collect_references(document, &mut references);
        assert!(references.len() > 50);
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    let all = Code::ALL.into_iter().map(|code| code.as_str().to_owned());
    let expected: BTreeSet<String> = all.filter(|code| !ELSEWHERE.contains(&code.as_str())).collect();
    assert_eq!(codes, expected, "every code that an operation may answer, with an example");
}

fn collect_references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// `auth.aliases` may name them.
#[tokio::test]
async fn an_endpoint_has_the_members_that_aliases_may_name() {
    let gw = harness::gateway(DOCS).await;
    let document = auth_api(&gw.anonymous()).await;

    for endpoint in AuthEndpoint::ALL {
        let path = match endpoint {
            AuthEndpoint::Jwks => AuthEndpoint::JWKS_PATH.to_owned(),
            other => format!("/auth/{}", other.path()),
        };
        let mut known = BTreeSet::new();
        for operation in document["paths"][&path].as_object().expect("operations").values() {
            for (status, answer) in operation["responses"].as_object().expect("answers") {
                if status.starts_with('2') {
                    collect_members(&document, &answer["content"]["application/json"]["schema"], &mut known);
                }
            }
        }
        for member in endpoint.members() {
            let is_plain = matches!(endpoint, AuthEndpoint::Jwks);
            assert!(is_plain || known.contains(*member), "{endpoint:?} has no {member}: {known:?}");
        }
    }
}

fn collect_members(document: &Value, schema: &Value, known: &mut BTreeSet<String>) {
    if let Some(pointer) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        collect_members(document, document.pointer(pointer).expect("it leads somewhere"), known);
    }
    for forms in ["oneOf", "allOf", "anyOf"] {
        let forms = schema[forms].as_array().into_iter().flatten();
        forms.for_each(|form| collect_members(document, form, known));
    }
    known.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
}

#[tokio::test]
async fn the_description_follows_the_policy() {
    let yaml = "auth: { prefix: /id, docs: false, password: { min_length: 12 } }";
    let gw = harness::gateway(yaml).await;

    let document: Value = gw.anonymous().get("/id/openapi.json").await.json().await.expect("JSON");

    let password = &document["components"]["schemas"]["NewPassword"]["description"];
    assert_eq!(password, "12 to 1024 characters in normal form (NFKC)");
    assert_eq!(
        document["components"]["securitySchemes"]["password"]["flows"]["password"]["tokenUrl"],
        "/id/token"
    );
    let paths: BTreeSet<String> = described(&document).into_iter().map(|(path, _)| path).collect();
    assert!(paths.contains("/id/login") && paths.contains("/.well-known/jwks.json"), "{paths:?}");
    assert!(!paths.contains("/id/docs"));
    assert_eq!(gw.anonymous().get("/id/docs").await.reason(), Some("route_not_found"));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let gw = harness::gateway(DOCS).await;
    let client = gw.anonymous();

    let page = client.get("/auth/docs").await;
    let policy = page.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.expect("text");
    let loaded: Vec<&str> = page.split(['"']).filter(|part| part.starts_with("/auth/docs/")).collect();
    assert_eq!(
        loaded,
        ["/auth/docs/swagger-ui.css", "/auth/docs/swagger-ui-bundle.js", "/auth/docs/start.js"]
    );
    assert!(!page.contains("://"), "{page}");
    for file in loaded {
        let answer = client.get(file).await;
        let kind = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
        let expected = if file.ends_with("css") { "text/css" } else { "text/javascript" };
        assert!(answer.status() == 200 && kind.starts_with(expected), "{file}: {kind}");
        assert!(!answer.bytes().await.expect("a whole body").is_empty());
    }
    for none in ["/auth/docs/none.js", "/auth/docs/a_b"] {
        assert_eq!(client.get(none).await.reason(), Some("not_found"), "{none}");
    }
}
