//! Names of users and roles.

/// `Err` says in one sentence what is wrong, for the client.
pub fn check_username(_name: &str) -> Result<(), String> {
    todo!()
}
/// The form under which a name is looked up and counted: one per user, whatever the case.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}
/// Whether it matches `[a-z0-9][a-z0-9_.:-]*`.
pub fn is_role(_name: &str) -> bool {
    todo!()
}
