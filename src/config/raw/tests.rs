//! `tests:`: what the routes of this file must answer.

use serde::Deserialize;

use super::{List, Table};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Method and path: `GET /admin/dashboard`.
    pub request: Option<String>,
    pub host: Option<String>,
    /// The user to be, by id or name; without one, a role or a scope: nobody.
    pub user: Option<String>,
    pub role: Option<String>,
    pub roles: Option<List<String>>,
    pub scopes: Option<List<String>>,
    /// With a second factor.
    pub mfa: Option<bool>,
    /// `allowed`, or a code such as `role_missing`.
    pub expect: Option<String>,
    pub upstream: Option<String>,
    /// What the upstream must be told, by header.
    pub headers: Option<Table<String>>,
}
