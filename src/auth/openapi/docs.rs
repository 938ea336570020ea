//! Swagger UI over the description, compiled in: nothing comes from another host. Served while
//! `auth.docs` is on.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};

use crate::auth::answer::Refusal;
use crate::auth::call::Call;
use crate::rejection::Code;

const PAGE: &str = include_str!("swagger-ui/index.html");
const START: &str = include_str!("swagger-ui/start.js");
const BUNDLE: &[u8] = include_bytes!("swagger-ui/swagger-ui-bundle.js.gz");
const STYLES: &[u8] = include_bytes!("swagger-ui/swagger-ui.css.gz");

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Swagger UI makes `style` attributes and `data:` images; all else comes from here or not at all.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Another release of the gateway may bring another one.
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// Swagger UI.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "documents",
    responses((status = 200, description = "A page for browsers", body = String, content_type = "text/html")),
)]
pub async fn page(call: Call) -> Response {
    // By whole paths: an alias shows it elsewhere.
    let page = PAGE.replace("{prefix}", &call.settings.policy.auth.prefix.replace('&', "&amp;"));
    let fields: [(HeaderName, &str); 3] =
        [(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY), (X_FRAME_OPTIONS, "DENY")];
    (fields, page).into_response()
}

/// What the page loads.
#[utoipa::path(
    get, path = "/docs/{file}", operation_id = "docs_file", tag = "documents",
    params(("file" = String, Path, pattern = r"^(swagger-ui\.css|swagger-ui-bundle\.js|start\.js)$")),
    responses(
        (status = 200, description = "A script or a style sheet", content(
            (String = "text/javascript"), (String = "text/css"),
        )),
    ),
    extensions(("x-refusals" = json!(["not_found"]))),
)]
pub async fn file(Path(file): Path<String>) -> Result<Response, Refusal> {
    let (kind, packed) = match file.as_str() {
        "start.js" => return Ok(([(CONTENT_TYPE, JAVASCRIPT)], START).into_response()),
        "swagger-ui-bundle.js" => (JAVASCRIPT, BUNDLE),
        "swagger-ui.css" => (CSS, STYLES),
        _ => return Err(Code::NotFound.into()),
    };
    let mut response = ([(CONTENT_TYPE, kind), (CONTENT_ENCODING, "gzip")], packed).into_response();
    response.headers_mut().insert(CACHE_CONTROL, FOR_AN_HOUR);
    Ok(response)
}
