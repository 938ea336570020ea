//! Passwords.

use crate::config::policy::{Argon2Params, PasswordRules};

/// PHC string. `params` were checked when the policy was compiled.
pub fn hash(_password: &str, _params: Argon2Params) -> String {
    todo!()
}
/// `false` also for hashes of unknown form.
pub fn verify(_password: &str, _phc: &str) -> bool {
    todo!()
}
/// Whether the hash was made with other parameters than these.
pub fn needs_upgrade(_phc: &str, _params: Argon2Params) -> bool {
    todo!()
}
/// A hash no password matches, to make unknown users cost as much as known ones.
pub fn decoy(_params: Argon2Params) -> String {
    todo!()
}
/// `Err` says in one sentence what is wrong, for the client.
pub fn check(_password: &str, _username: &str, _rules: &PasswordRules) -> Result<(), String> {
    todo!()
}
