//! In and out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Console, go, page, query};
use crate::auth::console::Guest;
use crate::rejection::{Code, Rejection};

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    /// Of the authenticator app; empty without one.
    code: Option<String>,
}

#[derive(Default, Deserialize)]
struct Wanted {
    ended: Option<bool>,
}

pub async fn show(State(console): State<Console>, request: Request) -> Response {
    let wanted: Wanted = query(request.uri()).unwrap_or_default();
    let hint = wanted.ended.filter(|ended| *ended).map(|_| "Your session has ended. Please sign in again.");
    match console.door.read(request).await {
        Ok(call) => form(hint, call.is_over_plain_network()).into_response(),
        Err(rejection) => page::refusal(&rejection),
    }
}

pub async fn sign_in(State(console): State<Console>, request: Request) -> Response {
    let call = match console.door.read(request).await {
        Ok(call) => call,
        Err(rejection) => return page::refusal(&rejection),
    };
    let outcome = match call.form::<Credentials>() {
        Ok(Credentials { username, password, code }) => {
            let password = Zeroizing::new(password);
            let code = code.as_deref().filter(|code| !code.is_empty());
            match console.limits.charge(&call.visitor(), code.is_some()).await {
                Ok(()) => console.door.sign_in(&call, &username, password, code).await,
                Err(rejection) => Err(rejection),
            }
        }
        Err(rejection) => Err(rejection),
    };
    match outcome {
        Ok(cookies) => {
            let mut response = go("/console/");
            for cookie in cookies {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Err(rejection) => {
            let form = form(Some(&words(&rejection)), call.is_over_plain_network());
            let mut response = (status(&rejection), form).into_response();
            if let Some(seconds) = rejection.retry_after_seconds() {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

pub async fn sign_out(Extension(guest): Extension<Arc<Guest>>) -> Response {
    let ended = async {
        guest.form::<serde::de::IgnoredAny>()?;
        guest.sign_out().await
    };
    match ended.await {
        Ok(cookie) => {
            let mut response = go("/console/login");
            response.headers_mut().insert(SET_COOKIE, cookie);
            response
        }
        Err(rejection) => page::refusal(&rejection),
    }
}

/// 401 would have the browser ask for a password of its own.
fn status(rejection: &Rejection) -> StatusCode {
    match rejection.code.status() {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    }
}

fn words(rejection: &Rejection) -> String {
    match rejection.code {
        Code::RoleMissing => "This account is no operator: it has no role of admin.roles.".to_owned(),
        Code::BadCredentials => "Username or password is wrong.".to_owned(),
        Code::MfaRequired if rejection.detail.is_none() => {
            "A code of your authenticator app is needed, too.".to_owned()
        }
        Code::RateLimited => {
            let wait = rejection.retry_after_seconds().unwrap_or(1);
            format!("Too many logins from your address. Try again in {wait} s.")
        }
        _ => page::words(rejection).to_owned(),
    }
}

fn form(said: Option<&str>, over_plain_network: bool) -> Markup {
    page::bare(
        "Sign in",
        &html! {
            main .sign-in {
                section {
                    h1 { "Portcullis" }
                    @if let Some(said) = said { p .bad role="alert" { (said) } }
                    @if over_plain_network {
                        p .odd {
                            "This page came over plain HTTP from another machine, and so your browser will keep no session here. "
                            "Come by HTTPS, or to localhost through an SSH tunnel."
                        }
                    }
                    form method="post" action="/console/login" {
                        label { "Username" input name="username" autocomplete="username" required autofocus; }
                        label { "Password" input type="password" name="password" autocomplete="current-password" required; }
                        label { "Code of your authenticator app, if you have one" input name="code" autocomplete="one-time-code" inputmode="numeric"; }
                        button { "Sign in" }
                    }
                }
            }
        },
    )
}
