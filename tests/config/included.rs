//! `include:`: several files that are one configuration.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::config::compile::Compiled;
use portcullis::config::substitute::Surroundings;
use portcullis::server::load;
use proptest::prelude::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a place for files");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    folder
}

fn loaded(folder: &Path) -> Compiled {
    let loaded = load::load_tested(&folder.join("gateway.yaml"));
    loaded.map_err(|problems| load::render(&problems)).expect("the files are right")
}

const MAIN: &str = "
include: [first.yaml, routes/*.yaml, \"*.yaml\"]
upstreams: { shop: { servers: [\"127.0.0.1:9000\"] } }
defaults: { limits: [gentle] }
routes: [{ path: /main, upstream: shop, access: { roles: [admin] } }]
tests: [{ request: GET /b, role: user, expect: allowed, upstream: billing }]
auth: { registration: closed }
";

#[test]
fn included_files_are_one_configuration_with_the_file_that_names_them() {
    let files = folder(&[
        ("gateway.yaml", MAIN),
        ("first.yaml", "routes: [{ path: /first, upstream: billing }]"),
        ("routes/b.yaml", "routes: [{ path: /b, upstream: billing }]\ntests:"),
        ("routes/a.yaml", "upstreams: { billing: { servers: [\"127.0.0.1:${PORTCULLIS_NO_SUCH:-9001}\"] } }"),
        ("routes/c.yaml", "\u{feff}limits: { gentle: { rate: 5/1m, by: user } }"),
        ("routes/.b.yaml.swp", "a draft of an editor's: {{{"),
        ("routes/.d.yaml", "hidden: {{{"),
        ("routes/e.txt", "something else: {{{"),
    ]);

    let compiled = loaded(files.path());

    assert_eq!(load::render(&compiled.warnings), "");
    let policy = &compiled.policy;
    let routes = policy.routes.routes().iter().filter(|route| !route.name.starts_with("auth:"));
    let routes: Vec<(&str, usize)> = routes.map(|route| (route.path.as_str(), route.limits.len())).collect();
    assert_eq!(routes, [("/main", 1), ("/first", 1), ("/b", 1)]);
    let upstreams: Vec<&str> = policy.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(upstreams, ["billing", "shop"]);
}

#[test]
fn the_hash_is_that_of_all_files() {
    let files = folder(&[
        ("gateway.yaml", "include: b.yaml\nupstreams: { a: { servers: [\"127.0.0.1:1\"] } }"),
        ("b.yaml", "routes: [{ path: /b, upstream: a }]"),
    ]);
    let before = loaded(files.path()).policy.digest.clone();

    fs::write(files.path().join("b.yaml"), "routes: [{ path: /c, upstream: a }]").expect("writable");

    assert_ne!(loaded(files.path()).policy.digest, before);
}

/// A disk with as many files as are asked for, all with the same text.
struct Endless {
    files: usize,
    text: String,
}

impl Surroundings for Endless {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Ok(self.text.clone())
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }

    fn matching(&self, _: &str) -> Result<Vec<String>, String> {
        Ok((0..self.files).map(|file| format!("{file}.yaml")).collect())
    }
}

#[test]
fn what_is_included_has_bounds_as_a_whole() {
    let bomb = format!("a: &a [{}]\nb: [{}]", "x,".repeat(500), "*a,".repeat(500));
    let cases = [
        (1001, "routes:".to_owned(), "gateway.yaml:1:10 include: more than 1000 files are included\n"),
        (
            10,
            format!("#{}\n", "x".repeat(2 << 20)),
            "gateway.yaml:1:10 include: 7.yaml: all files together have more than 16 MiB\n",
        ),
        (10, bomb, "gateway.yaml:1:10 include: 1.yaml: all files together have too many keys and values\n"),
    ];
    for (files, text, expected) in cases {
        let disk = Endless { files, text };
        let problems = load::load_text("gateway.yaml", "include: \"*\"", &disk).expect_err("too much");
        let said = load::render(&problems);
        let said = said.lines().filter(|line| line.contains("include")).map(|line| format!("{line}\n"));
        let said: String =
            said.filter(|line| line.contains("more than") || line.contains("together")).collect();
        assert_eq!(said, expected);
    }
}

/// Two files in which pieces stand as chance has it.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(&[
        "routes:\n",
        "upstreams:\n",
        "limits: ",
        "tests: ",
        "include: \"*\"\n",
        "- { path: /a, upstream: b }\n",
        "- { request: GET /a, expect: allowed }\n",
        "  b: { servers: [\"127.0.0.1:1\"] }\n",
        "{ l: { rate: 1/1s, by: user } }\n",
        "[]\n",
        "&a ",
        "*a\n",
        "  ",
        "null\n",
        "${",
        "{ file: x }\n",
        "\u{feff}",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_included_soup_makes_the_loader_panic(main in soup(), text in soup(), files in 0..4_usize) {
        let disk = Endless { files, text };

        let problems = load::load_text_tested("gateway.yaml", &format!("include: \"*\"\n{main}"), &disk).err();

        for problem in problems.unwrap_or_default() {
            prop_assert!(!problem.to_string().is_empty());
        }
    }
}
