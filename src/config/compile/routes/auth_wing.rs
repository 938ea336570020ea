//! The routes of the auth wing: its endpoints beneath the prefix, and their aliases.

use super::Growing;
use crate::config::compile::Compiler;
use crate::config::compile::auth::CompiledAuth;
use crate::config::place::Place;
use crate::config::policy::{
    AcceptedIssuers, Access, Alias, AuthEndpoint, Destination, MethodSet, Requirement, Route,
};

const MAX_BODY: u64 = 16 << 10;

impl Compiler<'_> {
    pub(super) fn auth_routes(&mut self, auth: &CompiledAuth, growing: &mut Growing) {
        for alias in auth_paths(auth) {
            let path = alias.path.clone();
            let route = auth_route(alias, auth, growing.table.next_index());
            if growing.table.add_built_in(route).is_ok() {
                growing.items.push(None);
                continue;
            }
            let root = Place::Root;
            let place = root.key("auth");
            let place = place.key("aliases");
            self.problems.error(&place.key(&path), "an endpoint answers these requests already");
        }
    }
}

/// Every path at which the auth wing answers.
fn auth_paths(auth: &CompiledAuth) -> Vec<Alias> {
    let prefix = &auth.policy.prefix;
    let own = |path: String, endpoint: AuthEndpoint| Alias {
        path,
        endpoint,
        methods: endpoint.methods(),
        translation: None,
        waives_reauthentication: false,
    };
    let mut paths: Vec<Alias> = Vec::new();
    for endpoint in AuthEndpoint::ALL {
        paths.push(match endpoint {
            AuthEndpoint::Docs | AuthEndpoint::DocsFile if !auth.policy.docs => continue,
            AuthEndpoint::Jwks => own(AuthEndpoint::JWKS_PATH.to_owned(), endpoint),
            _ => own(format!("{prefix}/{}", endpoint.path()), endpoint),
        });
    }
    paths.extend(auth.aliases.iter().cloned());
    paths
}

fn auth_route(alias: Alias, auth: &CompiledAuth, index: usize) -> Route {
    let Alias { path, endpoint, methods, translation, waives_reauthentication } = alias;
    let limits = auth.policy.limits.iter().find(|(limited, _)| *limited == endpoint);
    Route {
        name: format!("auth:{}", endpoint.as_str()),
        index,
        host: None,
        path,
        methods: MethodSet::Only(methods),
        destination: Destination::Auth(endpoint),
        access: match endpoint {
            AuthEndpoint::Register
            | AuthEndpoint::Login
            | AuthEndpoint::Token
            | AuthEndpoint::Refresh
            | AuthEndpoint::Revoke
            | AuthEndpoint::PasswordForgot
            | AuthEndpoint::PasswordReset
            | AuthEndpoint::EmailVerify
            | AuthEndpoint::EmailResend
            | AuthEndpoint::LoginMfa
            | AuthEndpoint::Jwks
            | AuthEndpoint::OpenApi
            | AuthEndpoint::Docs
            | AuthEndpoint::DocsFile => Access::Public,
            AuthEndpoint::Logout | AuthEndpoint::Validate => Access::Optional,
            AuthEndpoint::Me
            | AuthEndpoint::Password
            | AuthEndpoint::Mfa
            | AuthEndpoint::MfaTotp
            | AuthEndpoint::MfaConfirm
            | AuthEndpoint::MfaRecoveryCodes
            | AuthEndpoint::MfaDisable
            | AuthEndpoint::Sessions
            | AuthEndpoint::Session
            | AuthEndpoint::Keys
            | AuthEndpoint::Key
            | AuthEndpoint::Introspect => Access::Authenticated(Requirement::default()),
        },
        // Sessions and accounts are our own.
        issuers: AcceptedIssuers::default(),
        limits: limits.map(|(_, limits)| limits.clone()).unwrap_or_default(),
        cache: None,
        websocket: false,
        max_body: MAX_BODY,
        translation,
        waives_reauthentication,
    }
}
