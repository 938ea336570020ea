//! What `diff` compares: who may reach what, without anything secret. The admin port tells a running
//! gateway's.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::config::policy::{
    AcceptedIssuers, Access, Destination, IdentityPreset, Limit, MethodSet, Policy, Route, RouteTable,
    RouteTableBuilder, Timeouts, Upstream,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shape {
    pub digest: String,
    /// The roles of operators; empty where an older gateway doesn't tell.
    #[serde(default)]
    pub operators: Vec<String>,
    /// `None` where an older gateway doesn't tell.
    #[serde(default)]
    pub accounts: Option<AccountsShape>,
    pub routes: Vec<RouteShape>,
}

/// Who may have an account, and what it takes to change one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountsShape {
    pub registration_open: bool,
    /// The paths where an access token alone does sensitive actions.
    pub waives_reauthentication: Vec<String>,
    pub change_needs_password: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouteShape {
    pub name: String,
    pub host: Option<String>,
    pub path: String,
    pub methods: Option<Vec<String>>,
    pub access: Access,
    /// Whose tokens it takes, by name, and what is taken from them.
    pub issuers: BTreeMap<String, String>,
    pub upstream: String,
    /// With scheme and weight.
    pub servers: Vec<String>,
    /// Fields that clients mustn't send there, beside those that are known anyway; `None` where an older gateway
    /// doesn't tell.
    #[serde(default)]
    pub reserved: Option<Vec<String>>,
    pub limits: BTreeMap<String, LimitShape>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitShape {
    pub by: String,
    pub count: u32,
    pub window_ms: u64,
    pub burst: u32,
    /// Requests per role: count and milliseconds.
    pub roles: BTreeMap<String, (u32, u64)>,
}

impl Shape {
    pub fn of(policy: &Policy) -> Self {
        let routes = policy.routes.routes().iter();
        Self {
            digest: policy.digest.clone(),
            operators: policy.admin.roles.clone(),
            accounts: Some(AccountsShape::of(policy)),
            routes: routes.filter_map(|route| RouteShape::of(route, policy)).collect(),
        }
    }

    /// The routes as a table, in which `Route::index` is the place in `routes`.
    pub fn table(&self) -> Result<RouteTable, String> {
        let mut table = RouteTableBuilder::default();
        for route in &self.routes {
            let index = table.next_index();
            table.add(route.to_route(index)?).map_err(|conflict| format!("{}: {conflict:?}", route.name))?;
        }
        Ok(table.build())
    }
}

impl AccountsShape {
    fn of(policy: &Policy) -> Self {
        let waiving = policy.routes.routes().iter().filter(|route| route.waives_reauthentication);
        Self {
            registration_open: policy.auth.registration_open,
            waives_reauthentication: waiving.map(|route| route.path.clone()).collect(),
            change_needs_password: policy.auth.email.change_needs_password,
        }
    }
}

impl RouteShape {
    /// `None` for the gateway's own endpoints.
    fn of(route: &Route, policy: &Policy) -> Option<Self> {
        let Destination::Upstream(upstream) = &route.destination else { return None };
        let server = |server: &crate::config::policy::Server| {
            let scheme = if server.tls { "https" } else { "http" };
            format!("{scheme}://{}:{} weight {}", server.host, server.port, server.weight)
        };
        Some(Self {
            name: route.name.clone(),
            host: route.host.clone(),
            path: route.path.clone(),
            methods: match &route.methods {
                MethodSet::Any => None,
                MethodSet::Only(methods) => Some(methods.iter().map(Method::to_string).collect()),
            },
            access: route.access.clone(),
            issuers: issuers(route, policy),
            upstream: upstream.name.clone(),
            servers: upstream.servers.iter().map(server).collect(),
            reserved: Some(upstream.reserved.iter().map(ToString::to_string).collect()),
            limits: route.limits.iter().map(|limit| (limit.name.clone(), LimitShape::of(limit))).collect(),
        })
    }

    fn to_route(&self, index: usize) -> Result<Route, String> {
        let method =
            |name: &String| Method::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?}: no method"));
        let methods = match &self.methods {
            None => MethodSet::Any,
            Some(names) => MethodSet::Only(names.iter().map(method).collect::<Result<_, _>>()?),
        };
        Ok(Route {
            name: self.name.clone(),
            index,
            host: self.host.clone(),
            path: self.path.clone(),
            methods,
            destination: Destination::Upstream(Arc::new(nowhere())),
            access: self.access.clone(),
            issuers: AcceptedIssuers::default(),
            limits: Vec::new(),
            cache: None,
            websocket: false,
            max_body: 0,
            translation: None,
            waives_reauthentication: false,
        })
    }
}

impl LimitShape {
    fn of(limit: &Limit) -> Self {
        let window = |window: std::time::Duration| u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let roles = limit.roles.iter();
        Self {
            by: format!("{:?}", limit.by).to_lowercase(),
            count: limit.quota.count,
            window_ms: window(limit.quota.window),
            burst: limit.quota.burst,
            roles: roles.map(|(role, quota)| (role.clone(), (quota.count, window(quota.window)))).collect(),
        }
    }

    /// Whether nobody may do less under `self` than under `other`.
    pub fn allows_all_of(&self, other: &Self) -> bool {
        let rate = |count: u32, window_ms: u64| f64::from(count) / (window_ms.max(1) as f64);
        let of_role = |limit: &Self, role: &str| {
            limit
                .roles
                .get(role)
                .map_or(rate(limit.count, limit.window_ms), |(count, window)| rate(*count, *window))
        };
        self.by == other.by
            && self.burst >= other.burst
            && rate(self.count, self.window_ms) >= rate(other.count, other.window_ms)
            && self
                .roles
                .keys()
                .chain(other.roles.keys())
                .all(|role| of_role(self, role) >= of_role(other, role))
    }
}

fn issuers(route: &Route, policy: &Policy) -> BTreeMap<String, String> {
    let foreign = route.issuers.foreign.iter().filter_map(|index| policy.issuers.get(*index));
    let mut issuers: BTreeMap<String, String> = foreign
        .map(|issuer| {
            let taken = (
                (&issuer.spellings, &issuer.tenants, &issuer.audience, &issuer.algorithms),
                (&issuer.claims, &issuer.roles, issuer.email_trusted),
                (&issuer.username_prefix, issuer.allow_id_tokens),
            );
            (issuer.name.clone(), format!("{taken:?}"))
        })
        .collect();
    if route.issuers.own {
        issuers.insert("portcullis".to_owned(), String::new());
    }
    issuers
}

/// In place of an upstream, where only the choice of a route matters.
fn nowhere() -> Upstream {
    let none = std::time::Duration::ZERO;
    Upstream {
        name: String::new(),
        index: 0,
        servers: Vec::new(),
        timeouts: Timeouts { connect: none, read: none, write: none, idle: none },
        identity: IdentityPreset::Forwarded,
        keep_authorization: false,
        assertion: false,
        reserved: Vec::new(),
    }
}
