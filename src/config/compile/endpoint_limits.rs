//! `auth.limits`: the limits of the auth endpoints. What the file doesn't name keeps its built-in limit.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::Compiler;
use super::names::Names;
use crate::config::place::Place;
use crate::config::policy::{AuthEndpoint, Limit, LimitBy, OnStoreError, Quota};
use crate::config::raw::{self, EndpointLimits};

type ByEndpoint = Vec<(AuthEndpoint, Vec<Arc<Limit>>)>;

/// The endpoints that take a password or a code, or send mail.
const LIMITED: [AuthEndpoint; 12] = [
    AuthEndpoint::Login,
    AuthEndpoint::Register,
    AuthEndpoint::Password,
    AuthEndpoint::PasswordForgot,
    AuthEndpoint::PasswordReset,
    AuthEndpoint::EmailVerify,
    AuthEndpoint::EmailResend,
    AuthEndpoint::LoginMfa,
    AuthEndpoint::MfaTotp,
    AuthEndpoint::MfaConfirm,
    AuthEndpoint::MfaRecoveryCodes,
    AuthEndpoint::MfaDisable,
];

impl Compiler<'_> {
    pub fn endpoint_limits(
        &mut self,
        raw: Option<EndpointLimits>,
        limits: &mut Names<Limit>,
        at: &Place<'_>,
    ) -> ByEndpoint {
        let table = match raw {
            Some(EndpointLimits::Off) => return Vec::new(),
            Some(EndpointLimits::ByEndpoint(table)) => table,
            None => raw::Table::new(),
        };
        let mut by_endpoint = self.named_endpoints(table, limits, at);
        for endpoint in LIMITED {
            if !by_endpoint.iter().any(|(named, _)| *named == endpoint) {
                by_endpoint.push((endpoint, built_in(endpoint, limits)));
            }
        }
        with_token(by_endpoint)
    }

    fn named_endpoints(
        &mut self,
        table: raw::Table<raw::List<String>>,
        limits: &mut Names<Limit>,
        at: &Place<'_>,
    ) -> ByEndpoint {
        let mut by_endpoint = Vec::new();
        for (name, list) in self.entries(table, at) {
            let place = at.key(&name);
            let endpoint = self.endpoint(&name, &place);
            // Empty or wrong, which has been said.
            let Some(list) = list else {
                continue;
            };
            let list = self.named_limits(list, limits, &place);
            for limit in &list {
                if let LimitBy::Parameter(parameter) = &limit.by {
                    let message =
                        format!("{:?} counts by {{{parameter}}}, which no auth path has", limit.name);
                    self.problems.error(&place, message);
                }
            }
            if let Some(endpoint) = endpoint {
                by_endpoint.push((endpoint, list));
            }
        }
        by_endpoint
    }
}

/// The token endpoint takes passwords as the login does, and counts with it unless it has limits of its own.
fn with_token(mut limits: ByEndpoint) -> ByEndpoint {
    let find = |wanted| limits.iter().find(|(endpoint, _)| *endpoint == wanted).cloned();
    if let (Some((_, login)), None) = (find(AuthEndpoint::Login), find(AuthEndpoint::Token)) {
        limits.push((AuthEndpoint::Token, login));
    }
    limits
}

/// 5/1m by address, each endpoint counted on its own. A limit of that name in the file takes its place.
fn built_in(endpoint: AuthEndpoint, limits: &mut Names<Limit>) -> Vec<Arc<Limit>> {
    let name = format!("auth-{}", endpoint.as_str());
    if !limits.is_defined(&name) {
        limits.define(name.clone(), Some(built_in_limit(name.clone(), limits.next_index())));
    }
    limits.take(&name).into_iter().collect()
}

fn built_in_limit(name: String, index: usize) -> Limit {
    let five = NonZeroU32::MIN.saturating_add(4);
    let quota = Quota::new(five, Duration::from_secs(60), five);
    Limit {
        policy: Limit::policy(&name, &quota),
        name,
        index,
        by: LimitBy::Address,
        quota,
        roles: HashMap::new(),
        on_store_error: OnStoreError::Local,
        observe: false,
    }
}
