//! May they? Decides by the route's access rule and the verified identity alone; no store.

use crate::config::policy::{Access, Owner, Requirement};
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};

pub fn run(exchange: &Exchange) -> Result<(), Rejection> {
    let Some(route) = &exchange.route else { return Err(Code::RouteNotFound.into()) };
    let requirement = match &route.access {
        Access::Public | Access::Optional => return Ok(()),
        Access::Authenticated(requirement) => requirement,
    };
    let Some(identity) = &exchange.identity else { return Err(Code::NoCredentials.into()) };
    check(requirement, identity, |name| exchange.param(name)).map_err(Rejection::from)
}

/// `param` gives the value of a path parameter.
fn check<'a>(
    requirement: &Requirement,
    identity: &Identity,
    param: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Code> {
    let one_of = requirement.roles.is_empty() || requirement.roles.iter().any(|role| identity.has_role(role));
    let all_of = requirement.all_roles.iter().all(|role| identity.has_role(role));
    let scopes = requirement.scopes.iter().all(|scope| identity.has_scope(scope));
    if !(one_of && all_of && scopes) {
        return Err(Code::RoleMissing);
    }
    match &requirement.owner {
        Some(owner) if !is_owner(owner, identity, param) => Err(Code::NotOwner),
        _ => Ok(()),
    }
}

/// The parameter must be the user id exactly as we print it: one spelling, so that the upstream
/// can't see another owner than we do.
fn is_owner<'a>(owner: &Owner, identity: &Identity, param: impl Fn(&str) -> Option<&'a str>) -> bool {
    param(&owner.parameter).is_some_and(|value| value == identity.user_id.to_string())
        || owner.or_roles.iter().any(|role| identity.has_role(role))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn identity(roles: &[&str], scopes: &[&str]) -> Identity {
        Identity {
            user_id: Uuid::from_u128(7),
            username: "alice".into(),
            email: None,
            roles: roles.iter().map(|role| role.to_string()).collect(),
            scopes: scopes.iter().map(|scope| scope.to_string()).collect(),
            session_id: Uuid::nil(),
            token_id: Uuid::nil(),
            version: 1,
            issued_at: 0,
            expires_at: 0,
        }
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[test]
    fn every_part_of_a_requirement_must_hold() {
        let requirement = Requirement {
            roles: words(&["admin", "editor"]),
            all_roles: words(&["staff"]),
            scopes: words(&["read"]),
            ..Requirement::default()
        };
        let none = |_: &str| None;

        assert_eq!(check(&requirement, &identity(&["editor", "staff"], &["read"]), none), Ok(()));
        assert_eq!(check(&requirement, &identity(&["staff"], &["read"]), none), Err(Code::RoleMissing));
        assert_eq!(check(&requirement, &identity(&["admin"], &["read"]), none), Err(Code::RoleMissing));
        assert_eq!(check(&requirement, &identity(&["admin", "staff"], &[]), none), Err(Code::RoleMissing));
        assert_eq!(
            check(&requirement, &identity(&["Admin", "staff"], &["read"]), none),
            Err(Code::RoleMissing)
        );
    }

    #[test]
    fn an_owner_is_the_exact_user_id_or_a_named_role() {
        let owner = Owner { parameter: "id".into(), or_roles: words(&["admin"]) };
        let requirement = Requirement { owner: Some(owner), ..Requirement::default() };
        let own = Uuid::from_u128(7).to_string();
        let upper = "00000000-0000-0000-0000-00000000000A";

        assert_eq!(check(&requirement, &identity(&[], &[]), |_| Some(own.as_str())), Ok(()));
        assert_eq!(check(&requirement, &identity(&[], &[]), |_| Some(upper)), Err(Code::NotOwner));
        assert_eq!(check(&requirement, &identity(&["admin"], &[]), |_| Some("x")), Ok(()));
        assert_eq!(check(&requirement, &identity(&[], &[]), |_| None), Err(Code::NotOwner));
    }
}
