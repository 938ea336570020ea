//! Whole keys: requests share one exactly when they agree in all that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

#[test]
fn only_the_named_parameters_count_in_any_order() {
    let names = ["a".to_owned(), "b".to_owned()];

    assert_eq!(selected_query("b=2&x=9&a=1", &names), ["a=1", "b=2"]);
    assert_eq!(selected_query("&&a=1", &names), ["a=1"]);
    assert_eq!(selected_query("b=1&a=2&a=1", &names), ["a=2", "a=1", "b=1"]);
}

/// From few words, so that two of them often agree, and that run into each other when written side by side.
#[derive(Debug, Clone)]
struct Case {
    scheme: &'static str,
    host: &'static str,
    forwarded_host: Option<&'static str>,
    route: &'static str,
    path: &'static str,
    query: Vec<&'static str>,
    tenant: Vec<&'static str>,
    language: Vec<&'static str>,
    caller: Option<(u8, Vec<&'static str>)>,
    /// What never counts.
    method: &'static str,
    agent: &'static str,
    address: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    Anybody,
    Nobody,
    /// With all that the upstream is told, in its order.
    User(u8, Vec<&'static str>),
    Roles(BTreeSet<&'static str>),
}

const PARAMETERS: [&str; 9] = ["", "a", "a=", "a=1", "a=2", "b=1", "b", "ab=1", "c=a=1"];
const VALUES: [&str; 5] = ["", "a", "b", "ab", "a, b"];
const ROLES: [&str; 4] = ["a", "b", "ab", "user"];
const TENANT: &str = "x-tenant-id";
const LANGUAGE: &str = "accept-language";

fn case() -> impl Strategy<Value = Case> {
    let roles = (subsequence(ROLES.to_vec(), 0..=3), vec(select(ROLES.to_vec()), 0..2))
        .prop_map(|(some, more)| [more, some].concat());
    let values = || vec(select(VALUES.to_vec()), 0..3);
    let place = (
        select(vec!["http", "https"]),
        select(vec!["a", "b", "a:80"]),
        prop::option::of(select(vec!["a", "b"])),
        select(vec!["a", "b", "/a"]),
        select(vec!["/", "/a", "/ab", "/a/b"]),
    );
    let rest =
        (vec(select(PARAMETERS.to_vec()), 0..4), values(), values(), prop::option::of((0..3u8, roles)));
    let noise = (select(vec!["GET", "HEAD"]), select(VALUES.to_vec()), any::<u8>());
    (place, rest, noise).prop_map(
        |(
            (scheme, host, forwarded_host, route, path),
            (query, tenant, language, caller),
            (method, agent, address),
        )| Case {
            scheme,
            host,
            forwarded_host,
            route,
            path,
            query,
            tenant,
            language,
            caller,
            method,
            agent,
            address,
        },
    )
}

/// Two cases, the second often with some of its parts from the first.
fn pair() -> impl Strategy<Value = (Case, Case)> {
    let parts_of_the_first = prop_oneof![2 => any::<[bool; 9]>(), 1 => Just([true; 9])];
    (case(), case(), parts_of_the_first).prop_map(|(one, mut other, is_first)| {
        let from = one.clone();
        if is_first[0] {
            other.scheme = from.scheme
        }
        if is_first[1] {
            other.host = from.host
        }
        if is_first[2] {
            other.forwarded_host = from.forwarded_host
        }
        if is_first[3] {
            other.route = from.route
        }
        if is_first[4] {
            other.path = from.path
        }
        if is_first[5] {
            other.query = from.query
        }
        if is_first[6] {
            other.tenant = from.tenant
        }
        if is_first[7] {
            other.language = from.language
        }
        if is_first[8] {
            other.caller = from.caller
        }
        (one, other)
    })
}

fn rule() -> impl Strategy<Value = CacheRule> {
    let query = prop_oneof![
        Just(QueryKey::All),
        subsequence(vec!["a".to_owned(), "b".to_owned(), "ab".to_owned()], 0..=3).prop_map(QueryKey::Only),
    ];
    let headers = subsequence(vec![TENANT.to_owned(), LANGUAGE.to_owned()], 0..=2);
    let vary_by = select(vec![VaryBy::Shared, VaryBy::Role, VaryBy::User]);
    (query, headers, vary_by).prop_map(|(query, headers, vary_by)| CacheRule {
        ttl: Duration::from_secs(1),
        vary_by,
        query,
        headers,
        max_size: 1,
        statuses: vec![200],
        respect_origin: true,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        respect_client: false,
        hit_cost: 1000,
        forward: Vec::new(),
        invalidate: false,
    })
}

fn key_of(case: &Case, rule: &CacheRule) -> Vec<u8> {
    let target = format!("{}?{}", case.path, case.query.join("&"));
    let mut request = RequestHeader::build(case.method, target.as_bytes(), None).expect("a plain request");
    let fields = [(TENANT, &case.tenant), (LANGUAGE, &case.language), ("user-agent", &vec![case.agent])];
    for (name, values) in fields {
        for value in values {
            request.append_header(name, HeaderValue::from_static(value)).expect("a plain field");
        }
    }
    let identity = case.caller.as_ref().map(|(user, roles)| Identity {
        user_id: Uuid::from_u128((*user).into()),
        username: "somebody".into(),
        email: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        scopes: Vec::new(),
        amr: Vec::new(),
        session_id: Uuid::new_v4(),
        token_id: Uuid::new_v4(),
        version: 1,
        issued_at: 0,
        expires_at: 0,
    });
    let client = Client {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, case.address)),
        address_text: case.address.to_string(),
        scheme: case.scheme,
        is_scheme_known: true,
        host: case.host.to_owned(),
        forwarded_host: case.forwarded_host.map(str::to_owned),
    };
    let asked = Asked {
        request: &request,
        client: &client,
        route: case.route,
        identity: identity.as_ref(),
        sent: SentFields::new(&request.headers, rule, &[]),
    };
    asked.key(rule)
}

/// The same in other words: what two requests have to agree in.
fn what_counts(case: &Case, rule: &CacheRule) -> impl PartialEq + std::fmt::Debug {
    let mut query: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let whole = case.query.join("&");
    match &rule.query {
        QueryKey::All => drop(query.insert(&whole, Vec::new())),
        QueryKey::Only(names) => {
            for parameter in case.query.iter().filter(|parameter| !parameter.is_empty()) {
                let name = parameter.split_once('=').map_or(*parameter, |(name, _)| name);
                if names.iter().any(|known| known == name) {
                    query.entry(name).or_default().push(parameter);
                }
            }
        }
    }
    let query = format!("{query:?}");
    let values = |name: &str, values: &Vec<&'static str>| {
        rule.headers.iter().any(|known| known == name).then(|| values.clone())
    };
    let caller = match (rule.vary_by, &case.caller) {
        (VaryBy::Shared, _) => Caller::Anybody,
        (_, None) => Caller::Nobody,
        (VaryBy::User, Some((user, roles))) => Caller::User(*user, roles.clone()),
        (VaryBy::Role, Some((_, roles))) => Caller::Roles(roles.iter().copied().collect()),
    };
    let believed = case.forwarded_host.unwrap_or(case.host);
    let place = (case.scheme, case.host, believed, case.route, case.path);
    (place, query, values(TENANT, &case.tenant), values(LANGUAGE, &case.language), caller)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn requests_share_a_key_exactly_when_they_agree_in_all_that_counts(
        (one, other) in pair(),
        rule in rule(),
    ) {
        let agree = what_counts(&one, &rule) == what_counts(&other, &rule);
        prop_assert_eq!(agree, key_of(&one, &rule) == key_of(&other, &rule));
    }

    /// Whatever it contains, a part never reaches into the next one.
    #[test]
    fn different_lists_never_share_bytes(
        one in vec(".{0,8}", 0..5),
        other in vec(".{0,8}", 0..5),
    ) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        list(&mut left, &one);
        list(&mut right, &other);
        prop_assert_eq!(one == other, left == right);
    }

    /// What a request may say beside what counts, and the order of what does.
    #[test]
    fn order_and_noise_never_tell_requests_apart(one in case(), rule in rule(), turn in 0..4usize, noise in any::<u8>()) {
        let mut other = Case { method: "HEAD", agent: "another", address: noise, ..one.clone() };
        // Sorted by name, which keeps the values of a name in their order, and then by blocks of names.
        let mut blocks: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        for parameter in &one.query {
            blocks.entry(name_of(parameter)).or_default().push(parameter);
        }
        let mut blocks: Vec<_> = blocks.into_values().collect();
        let blocks_count = blocks.len().max(1);
        blocks.rotate_left(turn % blocks_count);
        if rule.query != QueryKey::All {
            other.query = blocks.concat();
            other.query.push("utm=1");
        }
        if let Some((_, roles)) = &mut other.caller && rule.vary_by != VaryBy::User {
            roles.reverse();
            roles.extend(roles.first().copied());
        }
        for (name, values) in [(TENANT, &mut other.tenant), (LANGUAGE, &mut other.language)] {
            if !rule.headers.iter().any(|known| known == name) {
                values.push("uncounted");
            }
        }
        prop_assert_eq!(key_of(&one, &rule), key_of(&other, &rule));
    }
}
