//! Files that were written to do harm (class 106): a clear error each, and never a panic.

use proptest::prelude::*;

use crate::surroundings::load;

const EXAMPLE: &str = include_str!("../../gateway.yaml");

fn first_line(text: &str) -> String {
    load(text).expect_err("the file is wrong").remove(0)
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, inner) in ('b'..='j').zip('a'..) {
        let aliases = vec![format!("*{inner}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }

    let line = first_line(&bomb);

    assert!(line.ends_with("the file is too large once its aliases are written out"), "{line}");
}

#[test]
fn an_alias_within_its_own_anchor_is_refused() {
    assert_eq!(
        first_line("routes: &a [*a]"),
        "gateway.yaml:1:13 routes[0]: this alias stands within its own anchor"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let flow = "[".repeat(100_000);
    let flow_tables = "{a: ".repeat(100_000);
    let block = "- ".repeat(100_000);
    let indented: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();

    for text in [flow, flow_tables, block, indented] {
        let line = first_line(&text);
        assert!(line.contains("levels deep") || line.contains("recursion limit"), "{line}");
    }
}

#[test]
fn a_flood_of_values_is_refused() {
    let list = format!("[{}]", "a,".repeat(300_000));
    let keys: String = (0..260_000).map(|key| format!("k{key}: 1\n")).collect();

    let line = first_line(&list);
    assert!(line.contains("this goes on for too long"), "{line}");
    assert!(first_line(&keys).ends_with("the file is too large once its aliases are written out"));
}

#[test]
fn odd_documents_are_refused() {
    let cases = [
        ("", "gateway.yaml:1:1: the file is empty; a small one has `upstreams:` and `routes:`"),
        ("# only words", "gateway.yaml:1:1: the file is empty; a small one has `upstreams:` and `routes:`"),
        ("- version", "gateway.yaml:1:1: expected a mapping, found a list"),
        ("just text", "gateway.yaml:1:1: expected a mapping, found text"),
        (
            "version: 1\n---\nversion: 1",
            "gateway.yaml:2:1: a second document begins here; put everything into one",
        ),
        ("? [a]\n: b", "gateway.yaml:1:3: a key must be plain text"),
        ("listen: *nowhere", "gateway.yaml:1:9 listen: while parsing node, found unknown anchor"),
    ];

    for (text, expected) in cases {
        assert_eq!(first_line(text), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_soup_of_yaml_makes_the_loader_panic(
        tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..60)
    ) {
        let _ = load(&tokens.concat());
    }

    #[test]
    fn no_damage_to_the_example_makes_the_loader_panic(
        from in 0..EXAMPLE.len(),
        length in 0..40_usize,
        tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..4)
    ) {
        let chars: Vec<char> = EXAMPLE.chars().collect();
        let from = from.min(chars.len());
        let to = (from + length).min(chars.len());
        let damaged: String = chars[..from].iter().copied().chain(tokens.concat().chars()).chain(chars[to..].iter().copied()).collect();

        let _ = load(&damaged);
    }
}

const TOKENS: &[&str] = &[
    "a",
    "routes",
    "limits",
    "path",
    "/x",
    ": ",
    ":",
    "- ",
    "-",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "\r",
    "&a ",
    "*a",
    "!t ",
    "!!str ",
    "|",
    ">",
    "|2\n",
    "'",
    "\"",
    "\\",
    "#",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "~",
    "null",
    "1",
    "-1",
    "1e400",
    ".nan",
    "0x1F",
    "true",
    "${A}",
    "${A:-b}",
    "${",
    "<<: ",
    "\u{feff}",
    "\u{0}",
    "é",
    "\u{2028}",
    "{ file: x }",
    "{ rate: 5/1m, by: user }",
];
