//! The description of the API (OpenAPI 3.1), which grows together with the router: what isn't described
//! has no route, and what is described has one.

pub mod docs;
pub mod document;
mod refusals;
pub mod schemas;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value, json};
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::HttpMethod;

/// Endpoints, each added with what `#[utoipa::path]` has made of its attributes.
pub struct Described<S> {
    router: Router<S>,
    paths: Map<String, Value>,
    schemas: Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
}

impl<S: Clone + Send + Sync + 'static> Default for Described<S> {
    fn default() -> Self {
        Self { router: Router::new(), paths: Map::new(), schemas: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Described<S> {
    pub fn new() -> Self {
        Self::default()
    }

    /// `P` is the handler's description.
    pub fn add<P, H, T>(mut self, _: P, handler: H) -> Self
    where
        P: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        H: Handler<T, S>,
        T: 'static,
    {
        let path = P::path();
        for method in P::methods() {
            let (filter, name) = filter(&method);
            self.router = self.router.route(&path, on(filter, handler.clone()));
            let mut operation = serde_json::to_value(P::operation()).expect("descriptions are plain data");
            operation["tags"] = json!(P::tags());
            unwrap_body(&mut operation);
            let item = self.paths.entry(path.clone()).or_insert_with(|| json!({}));
            item[name] = refusals::complete(operation);
        }
        P::schemas(&mut self.schemas);
        self
    }

    /// The router, and the paths and schemas of its description.
    pub fn finish(self) -> (Router<S>, Value) {
        let mut schemas: Map<String, Value> = Map::new();
        for (name, schema) in self.schemas {
            schemas.insert(name, serde_json::to_value(schema).expect("descriptions are plain data"));
        }
        schemas.insert("Problem".to_owned(), refusals::problem());
        schemas.insert("OAuth2Error".to_owned(), refusals::oauth2_error());
        (self.router, json!({ "paths": self.paths, "components": { "schemas": schemas } }))
    }
}

/// Adds the paths and schemas of another description.
pub fn merge(description: &mut Value, more: &Value) {
    for part in ["/paths", "/components/schemas"] {
        let Some(members) = description.pointer_mut(part).and_then(Value::as_object_mut) else { continue };
        let more = more.pointer(part).and_then(Value::as_object).into_iter().flatten();
        members.extend(more.map(|(name, described)| (name.clone(), described.clone())));
    }
}

/// A body that may be left out is described as an `Option`; which is not to say that it may be `null`.
fn unwrap_body(operation: &mut Value) {
    for media in
        operation.pointer_mut("/requestBody/content").and_then(Value::as_object_mut).into_iter().flatten()
    {
        let schema = &mut media.1["schema"];
        let forms = schema["oneOf"].as_array().cloned().unwrap_or_default();
        if let [null, form] = forms.as_slice()
            && null["type"] == "null"
        {
            *schema = form.clone();
        }
    }
}

fn filter(method: &HttpMethod) -> (MethodFilter, &'static str) {
    match method {
        HttpMethod::Get => (MethodFilter::GET, "get"),
        HttpMethod::Put => (MethodFilter::PUT, "put"),
        HttpMethod::Post => (MethodFilter::POST, "post"),
        HttpMethod::Delete => (MethodFilter::DELETE, "delete"),
        HttpMethod::Options => (MethodFilter::OPTIONS, "options"),
        HttpMethod::Head => (MethodFilter::HEAD, "head"),
        HttpMethod::Patch => (MethodFilter::PATCH, "patch"),
        HttpMethod::Trace => (MethodFilter::TRACE, "trace"),
    }
}
