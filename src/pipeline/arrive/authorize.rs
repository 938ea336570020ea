//! May they? Decides by the route's access rule and the verified identity alone; no store.

use crate::config::policy::{Access, Owner, Requirement};
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::rejection::{Code, Rejection};

pub fn run(exchange: &Exchange) -> Result<(), Rejection> {
    let Some(route) = &exchange.route else { return Err(Code::RouteNotFound.into()) };
    let requirement = match &route.access {
        Access::Public => return Ok(()),
        Access::Optional => return check_optional(exchange).map_err(Rejection::from),
        Access::Authenticated(requirement) => requirement,
    };
    let Some(identity) = &exchange.identity else { return Err(Code::NoCredentials.into()) };
    check(requirement, identity, |name| exchange.param(name)).map_err(Rejection::from)
}

/// Nobody is told to an upstream as having a role that they lack a factor for.
fn check_optional(exchange: &Exchange) -> Result<(), Code> {
    let roles = &exchange.edition.policy.auth.mfa.required_roles;
    let lacks_factor = |identity: &Identity| !identity.has_mfa() && has_one_of(identity, roles);
    match exchange.identity.as_deref().is_some_and(lacks_factor) && !exchange.is_for_auth() {
        true => Err(Code::MfaRequired),
        false => Ok(()),
    }
}

fn has_one_of(identity: &Identity, roles: &[String]) -> bool {
    roles.iter().any(|role| identity.has_role(role))
}

/// `param` gives the value of a path parameter.
fn check<'a>(
    requirement: &Requirement,
    identity: &Identity,
    param: impl Fn(&str) -> Option<&'a str>,
) -> Result<(), Code> {
    let one_of = requirement.roles.is_empty() || has_one_of(identity, &requirement.roles);
    let all_of = requirement.all_roles.iter().all(|role| identity.has_role(role));
    let scopes = requirement.scopes.iter().all(|scope| identity.has_scope(scope));
    if !(one_of && all_of && scopes) {
        return Err(Code::RoleMissing);
    }
    if requirement.owner.as_ref().is_some_and(|owner| !is_owner(owner, identity, param)) {
        return Err(Code::NotOwner);
    }
    // Last: another factor wouldn't help whoever lacks the role.
    let needs_mfa = requirement.mfa || has_one_of(identity, &requirement.mfa_roles);
    match needs_mfa && !identity.has_mfa() {
        true => Err(Code::MfaRequired),
        false => Ok(()),
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
            amr: Vec::new(),
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
    fn a_second_factor_is_asked_for_last_and_of_those_who_need_one() {
        let everybody = Requirement { mfa: true, roles: words(&["admin"]), ..Requirement::default() };
        let admins = Requirement { mfa_roles: words(&["admin"]), ..Requirement::default() };
        let none = |_: &str| None;
        let with_mfa = |roles: &[&str]| Identity { amr: words(&["pwd", "mfa"]), ..identity(roles, &[]) };

        assert_eq!(check(&everybody, &identity(&["user"], &[]), none), Err(Code::RoleMissing));
        assert_eq!(check(&everybody, &identity(&["admin"], &[]), none), Err(Code::MfaRequired));
        assert_eq!(check(&everybody, &with_mfa(&["admin"]), none), Ok(()));
        assert_eq!(check(&admins, &identity(&["user"], &[]), none), Ok(()));
        assert_eq!(check(&admins, &identity(&["user", "admin"], &[]), none), Err(Code::MfaRequired));
        assert_eq!(check(&admins, &with_mfa(&["admin"]), none), Ok(()));
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
