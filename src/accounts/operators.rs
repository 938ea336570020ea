//! Who becomes an operator of the gateway, and what the other operators are told of it.

use crate::config::policy::Admin;
use crate::identity::UserId;

/// So many are named in one mail.
const MOST_NAMED: usize = 20;

/// An account that was given roles of operators.
pub struct Grant {
    pub id: UserId,
    pub username: String,
    pub roles: Vec<String>,
}

/// The roles of operators that an account has now and didn't have before.
pub fn granted(admin: &Admin, before: &[String], after: &[String]) -> Vec<String> {
    let is_new = |role: &&String| admin.roles.contains(role) && !before.contains(role);
    after.iter().filter(is_new).cloned().collect()
}

/// A sentence without its full stop.
pub fn told(grants: &[Grant], by: &str) -> String {
    let name = |grant: &Grant| format!("{} ({})", grant.username, grant.roles.join(", "));
    let named: Vec<String> = grants.iter().take(MOST_NAMED).map(name).collect();
    let more = match grants.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{by} made operators of the gateway: {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_an_account_had_before_is_not_granted() {
        let admin = Admin { roles: words(&["operator", "chief"]), ..Admin::default() };
        let granted = |before: &[&str], after: &[&str]| granted(&admin, &words(before), &words(after));

        assert_eq!(granted(&["user"], &["admin", "operator"]), ["operator"]);
        assert_eq!(granted(&["operator"], &["operator", "user", "chief"]), ["chief"]);
        assert_eq!(granted(&["operator"], &["operator"]), [""; 0]);
        assert_eq!(granted(&[], &["admin", "user"]), [""; 0]);
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let grant = |number: usize| Grant {
            id: UserId::nil(),
            username: format!("u{number}"),
            roles: words(&["operator"]),
        };
        let grants: Vec<Grant> = (0..22).map(grant).collect();

        assert_eq!(told(&grants[..1], "root"), "root made operators of the gateway: u0 (operator)");
        assert!(told(&grants, "root").ends_with("u19 (operator) and 2 more"));
    }
}
