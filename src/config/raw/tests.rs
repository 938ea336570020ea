//! `tests:`: what the routes of this file must answer.

use serde::Deserialize;

use super::List;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Method and path: `GET /admin/dashboard`.
    pub request: Option<String>,
    pub host: Option<String>,
    /// The user id to be; without one and without a role, nobody.
    pub user: Option<String>,
    pub role: Option<String>,
    pub roles: Option<List<String>>,
    /// `allowed`, or a code such as `role_missing`.
    pub expect: Option<String>,
}
