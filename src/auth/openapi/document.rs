//! The description as it is served: at the prefix, and with the rules, of the policy in force.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use crate::auth::Wing;
use crate::auth::call::Call;
use crate::config::policy::{AuthEndpoint, Policy};

/// The description of this API (OpenAPI 3.1).
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "documents",
    responses((status = 200, description = "The description", body = Value)),
)]
pub async fn openapi(State(wing): State<Wing>, call: Call) -> Response {
    let document = auth_api(&wing.description, &call.settings.policy);
    ([(CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// `described` holds what `Described` has gathered.
pub fn auth_api(described: &Value, policy: &Policy) -> Value {
    let prefix = &policy.auth.prefix;
    let mut paths = Map::new();
    for (path, item) in described["paths"].as_object().into_iter().flatten() {
        let is_page = path.starts_with("/docs");
        if is_page && !policy.auth.docs {
            continue;
        }
        let place = match path.as_str() {
            "/jwks" => AuthEndpoint::JWKS_PATH.to_owned(),
            path => format!("{prefix}{path}"),
        };
        paths.insert(place, item.clone());
    }
    let password = json!({ "type": "oauth2", "flows": { "password": {
        "tokenUrl": format!("{prefix}/token"), "refreshUrl": format!("{prefix}/token"), "scopes": {},
    } } });
    let mut document = document("Portcullis: accounts and tokens", described, policy, Value::Object(paths));
    document["components"]["securitySchemes"]["password"] = password;
    document
}

pub fn admin_api(described: &Value, policy: &Policy) -> Value {
    let paths = described["paths"].as_object().into_iter().flatten();
    let paths: Map<String, Value> = paths.map(|(path, item)| (format!("/api{path}"), item.clone())).collect();
    document("Portcullis: the admin API", described, policy, Value::Object(paths))
}

fn document(title: &str, described: &Value, policy: &Policy, paths: Value) -> Value {
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": described["components"]["schemas"],
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
        },
    });
    let rules = &policy.auth.password;
    let password = &mut document["components"]["schemas"]["NewPassword"];
    if password.is_object() {
        // Counted once normalised, which `minLength` can't say.
        password["description"] =
            format!("{} to {} characters in normal form (NFKC)", rules.min_length, rules.max_length).into();
    }
    document
}
