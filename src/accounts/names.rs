//! Which names people may give themselves. Operators may give any.

use crate::identity::name;
use crate::identity::reserved::ReservedNames;
use crate::store::Account;

/// Why somebody can't have a name by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTheirs {
    /// It is taken for somebody in charge.
    Reserved,
    /// It looks like an address that they haven't shown to be theirs.
    Address,
}

/// `account` is the one to be renamed; `None` for a new one, which has no confirmed address yet.
pub fn check(name: &str, account: Option<&Account>, reserved: &ReservedNames) -> Result<(), NotTheirs> {
    if account.is_some_and(|account| name::fold(&account.username) == name::fold(name)) {
        return Ok(());
    }
    if name.contains('@') && !account.is_some_and(|account| is_own_address(name, account)) {
        return Err(NotTheirs::Address);
    }
    match reserved.contains(name) {
        true => Err(NotTheirs::Reserved),
        false => Ok(()),
    }
}

fn is_own_address(name: &str, account: &Account) -> bool {
    let email = account.email.as_deref().filter(|_| account.email_verified);
    email.is_some_and(|email| email.eq_ignore_ascii_case(name))
}
