//! What all pages have in common. `maud` escapes every value; nothing here is put in unescaped.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use crate::auth::console::Guest;
use crate::clock::Timestamp;
use crate::rejection::Rejection;

const PAGES: [(&str, &str); 5] = [
    ("/console/", "Overview"),
    ("/console/policy", "Policy"),
    ("/console/users", "Users"),
    ("/console/audit", "Audit"),
    ("/console/explain", "Explain"),
];

/// A page for somebody who is signed in.
pub fn inside(title: &str, guest: &Guest, content: &Markup) -> Markup {
    bare(
        title,
        &html! {
            header {
                strong { "Portcullis" }
                nav {
                    @for (path, name) in PAGES {
                        a href=(path) aria-current=[(name == title).then_some("page")] { (name) }
                    }
                }
                span .faint { (guest.identity.username) }
                (deed("/console/logout", guest, "Sign out", "quiet", None))
            }
            main { h1 { (title) } (content) }
        },
    )
}

pub fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Portcullis" }
                link rel="icon" href="/console/icon.svg";
                link rel="stylesheet" href="/console/console.css";
                script src="/console/console.js" defer {}
            }
            body { (body) }
        }
    }
}

pub fn refusal(rejection: &Rejection) -> Response {
    let detail = words(rejection);
    let page = bare(
        "Refused",
        &html! {
            main .sign-in {
                section {
                    h1 { "Refused" }
                    p .bad { (detail) }
                    p .faint { code { (rejection.code.as_str()) } }
                    p { a href="/console/" { "Back to the overview" } }
                }
            }
        },
    );
    let mut response = (rejection.code.status(), page).into_response();
    if let Some(seconds) = rejection.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    // A browser would ask for a password of its own.
    if response.status() == StatusCode::UNAUTHORIZED {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}

pub fn words(rejection: &Rejection) -> &str {
    rejection.detail.as_deref().unwrap_or(rejection.code.detail())
}

/// A button that changes something.
pub fn deed(action: &str, guest: &Guest, name: &str, look: &str, question: Option<&str>) -> Markup {
    html! {
        form .deed method="post" action=(action) data-question=[question] {
            input type="hidden" name="form_token" value=(guest.form_token);
            button class=(look) { (name) }
        }
    }
}

/// A row of a table of two columns.
pub fn fact(name: &str, value: impl maud::Render) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

pub fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (at.format("%Y-%m-%d %H:%M:%S")) " UTC" } }
}
