//! Routes that stand in a file as they stood in it before aren't read again: whatever was edited, the file means,
//! and is told to mean, what it does when read whole.

use portcullis::config::compile::Compiled;
use portcullis::config::problem::Problem;
use portcullis::config::unchanged_routes::LastReading;
use portcullis::server::load::{load_text, load_text_beside};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::surroundings::Bare;

/// What a file comes to, for comparing: its digest, its routes and its warnings.
type Meaning = Result<(String, String, Vec<Problem>), Vec<Problem>>;

fn whole(text: &str) -> Result<Compiled, Vec<Problem>> {
    load_text("gateway.yaml", text, &Bare)
}

fn beside(text: &str, last: &LastReading) -> Result<Compiled, Vec<Problem>> {
    load_text_beside("gateway.yaml", text, Some(last), &Bare)
}

fn meaning(loaded: Result<Compiled, Vec<Problem>>) -> Meaning {
    let loaded = loaded?;
    let routes = format!("{:?}", loaded.policy.routes.routes());
    Ok((loaded.policy.digest.clone(), routes, loaded.warnings))
}

fn reading(text: &str) -> LastReading {
    whole(text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).reading.expect("it has routes")
}

/// How many routes of `text` needn't be read again.
fn known(text: &str, last: &LastReading) -> usize {
    last.read(text).map_or(0, |(_, items)| items.known.iter().flatten().count())
}

const HEAD: &str = "upstreams: { backend: { servers: [\"127.0.0.1:9001\"] } }\n";

fn file(routes: &[&str]) -> String {
    format!("{HEAD}routes:\n{}", routes.concat())
}

const ROUTES: [&str; 6] = [
    "  - { path: /a, upstream: backend, access: public }\n",
    "  - path: /b\n    upstream: backend\n    access: { roles: [admin] }\n",
    "  # für alle\n  - { path: /u, name: \"für alle\", upstream: backend }\n",
    "  -   path: /d\n      upstream: backend\n",
    "  - { path: \"/e/{*rest}\", upstream: backend, methods: [GET] }\n",
    "  - { path: /f, upstream: backend }\n",
];

#[test]
fn all_but_the_routes_around_a_change_are_known() {
    let last = reading(&file(&ROUTES));
    let mut changed = ROUTES;
    changed[2] = "  - { path: /c, upstream: backend, access: public }\n";

    // The first and the last route are always read, and one on each side of what is left out.
    assert_eq!(known(&file(&ROUTES), &last), 4);
    assert_eq!(known(&(file(&ROUTES) + "  - { path: /g, upstream: backend }\n"), &last), 4);
    assert_eq!(known(&("# new\n".to_owned() + &file(&ROUTES)), &last), 4);
    assert_eq!(known(&file(&changed), &last), 1);
    assert_eq!(meaning(beside(&file(&changed), &last)), meaning(whole(&file(&changed))));
}

#[test]
fn a_file_that_goes_on_changing_is_known_from_reading_to_reading() {
    let mut text = file(&ROUTES);
    let mut last = reading(&text);
    for number in 0..4 {
        text.push_str(&format!("  - {{ path: /new-{number}, upstream: backend }}\n"));
        let known = known(&text, &last);
        let loaded = beside(&text, &last).unwrap();
        assert_eq!(known, 4 + number);
        assert_eq!(loaded.policy.digest, whole(&text).unwrap().policy.digest);
        last = loaded.reading.expect("it has routes");
    }
}

#[test]
fn what_something_else_has_a_say_in_is_read_again() {
    for route in [
        "  - { path: \"/${PORT}\", upstream: backend }\n",
        "  - { path: /a/file, upstream: backend }\n",
        "  - { path: !!str /x, upstream: backend }\n",
        "  - { path: \"/\\x24{PORT}\", upstream: backend }\n",
    ] {
        let mut routes = ROUTES;
        routes[3] = route;
        let text = file(&routes);

        assert_eq!(known(&text, &reading(&text)), 3, "{route}");
    }
}

#[test]
fn a_change_of_the_rest_counts_for_known_routes_too() {
    let last = reading(&file(&ROUTES));
    let text = file(&ROUTES).replace("upstreams: { backend:", "upstreams: { other:");

    let told = meaning(beside(&text, &last));

    assert_eq!(known(&text, &last), 4);
    assert!(told.as_ref().is_err_and(|problems| problems.len() > ROUTES.len()));
    assert_eq!(told, meaning(whole(&text)));
}

#[test]
fn a_change_that_makes_something_else_of_what_follows_is_noticed() {
    let named = "  - { path: /n, upstream: backend, name: \"a name\" }\n";
    let other = "  - { path: /m, upstream: backend, name: \"another\" }\n";
    let many = file(&[ROUTES[0], ROUTES[1], named, ROUTES[3], ROUTES[4], ROUTES[5], other]);
    let cases = [
        // From here to the next quote all is one text.
        (many.clone(), many.replacen("public", "\"public", 1)),
        (many.clone(), many.replacen("  - { path: /a", "  # - { path: /a", 1)),
        (many.clone(), many.replacen("  - path: /b", "  -  path: /b", 1)),
        (many.clone(), many.replacen("routes:", "text: |", 1)),
        (many.clone(), many.replacen("routes:", "tests:", 1)),
        (many.clone(), many.replacen("routes:", "routes: &all", 1)),
        (many.clone(), many.replacen("\n  -", "\n -", 1)),
        (many.clone(), many.replace('\n', "\r\n")),
    ];

    for (old, new) in cases {
        assert_eq!(meaning(beside(&new, &reading(&old))), meaning(whole(&new)), "{old}\n---\n{new}");
    }
}

#[test]
fn a_file_with_anchors_or_carriage_returns_is_read_whole() {
    let anchor = "  - { path: /p, upstream: &it backend }\n";
    let alias = "  - { path: /o, upstream: *it }\n";
    let text = file(&[anchor, ROUTES[0], ROUTES[1], alias, ROUTES[5]]);

    assert!(whole(&text).unwrap().reading.is_none());
    assert!(whole(&file(&ROUTES).replace('\n', "\r\n")).unwrap().reading.is_none());
    assert_eq!(known(&(file(&ROUTES) + anchor), &reading(&file(&ROUTES))), 0);
}

/// Lines that stand in each other's way: texts that look like items, lists that are no routes, and what only means
/// something together with another part of the file.
const PIECES: [&str; 24] = [
    "  - { path: /p0, upstream: backend, access: public }\n",
    "  - { path: /p1, upstream: backend }\n",
    "  - path: /p2\n    upstream: backend\n",
    "  - path: /p3\n    methods:\n      - GET\n      - PUT\n    upstream: backend\n",
    "  - { path: /p4, upstream: backend,\n      name: \"one\n  - { path: /q, upstream: backend }\n      two\" }\n",
    "  - path: /p5\n    name: |\n      a\n      - { path: /r, upstream: backend }\n    upstream: backend\n",
    "  - path: /p6\n    upstream: backend\n    name: plain\n      - goes on\n",
    "  # - { path: /no, upstream: backend }\n",
    "\n",
    "  - { path: /p7, upstream: other }\n",
    "  - { name: \"ö\", path: \"/o/{id}\", upstream: backend, access: { owner: id } }\n",
    "  - { path: \"/${PORT}\", upstream: backend }\n",
    "  - { path: &p /p8, upstream: backend }\n",
    "  - { path: *p, upstream: backend }\n",
    "  - &r { path: /p9, upstream: backend }\n",
    "  - { path: !!str /p10, upstream: backend, access: public }\n",
    "  -   { path: /p11, upstream: backend }\n",
    "  -\n    path: /p12\n    upstream: backend\n",
    "  -\n",
    "limits: { few: { rate: 5/1m, by: address } }\n",
    "tests:\n",
    "  - { request: GET /p0, expect: allowed }\n",
    "  - { path: /p13, upstream: backend, methods: [GET], cache: { ttl: 5s } }\n",
    "routes:\n",
];

const SNIPPETS: [&str; 14] = [
    "\"",
    "'",
    "\n",
    "\r",
    " ",
    "- ",
    "#",
    "{",
    "}",
    "|\n",
    "&p ",
    "\u{feff}",
    "\u{85}",
    "%TAG !! tag:x,1:\n---\n",
];

/// A change of a text, at some place of it.
#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, Index),
    Line(usize, Index),
    Remove(Index),
    RemoveLines(Index, usize),
    Swap(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<Index>;
    prop_oneof![
        (0..SNIPPETS.len(), place()).prop_map(|(snippet, at)| Edit::Insert(snippet, at)),
        (0..PIECES.len(), place()).prop_map(|(piece, at)| Edit::Line(piece, at)),
        place().prop_map(Edit::Remove),
        (place(), 1..4_usize).prop_map(|(at, lines)| Edit::RemoveLines(at, lines)),
        (place(), place()).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

fn apply(text: &mut String, edit: &Edit) {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let characters: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    if lines.is_empty() {
        return;
    }
    match edit {
        Edit::Insert(snippet, at) => {
            return text.insert_str(characters[at.index(characters.len())], SNIPPETS[*snippet]);
        }
        Edit::Remove(at) => {
            text.remove(characters[at.index(characters.len())]);
            return;
        }
        Edit::Line(piece, at) => lines.insert(at.index(lines.len() + 1), PIECES[*piece]),
        Edit::RemoveLines(at, count) => {
            let first = at.index(lines.len());
            lines.drain(first..lines.len().min(first + count));
        }
        Edit::Swap(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
    }
    *text = lines.concat();
}

proptest! {
    #[test]
    fn read_again_or_whole_every_file_means_the_same(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
        indentation in prop::sample::select(&["", "  ", "   "][..]),
        edits in prop::collection::vec(prop::collection::vec(edit(), 1..4), 1..4),
    ) {
        let mut text = file(&ROUTES[..3]) + &pieces.concat() + ROUTES[4] + ROUTES[5];
        text = text.replace("\n  ", &format!("\n{indentation}"));
        let mut last = whole(&text).ok().and_then(|loaded| loaded.reading);
        for edits in edits {
            let before = text.clone();
            edits.iter().for_each(|edit| apply(&mut text, edit));
            let again = load_text_beside("gateway.yaml", &text, last.as_ref(), &Bare);
            let next = load_text_beside("gateway.yaml", &text, last.as_ref(), &Bare).ok();
            prop_assert_eq!(meaning(again), meaning(whole(&text)), "{}\n---\n{}", before, text);
            // As a running gateway does: what could be used last is what the next is read beside.
            last = next.map_or(last, |loaded| loaded.reading);
        }
    }
}
