//! The transcripts of the README and of the examples, run in a real shell against the shipped files.

use std::fs;
use std::path::Path;

use crate::harness::{self, Setup};

/// Stands for what differs from run to run, within one line.
const ANYTHING: char = '…';

/// Between the outputs of two commands.
const MARK: &str = "--- end of command ---";

struct Step {
    command: String,
    /// The lines that the transcript shows after it.
    expected: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transcript_of_the_readme_is_true() {
    let page = read("README.md");
    holds(transcript(&blocks(&page)[..1]), "gateway.yaml").await;
}

/// Each with the file that its section names.
#[tokio::test(flavor = "multi_thread")]
async fn the_transcripts_of_the_examples_are_true() {
    let page = read("examples/README.md");
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), 5);
    for section in sections {
        let file = section.split("](replaced/").nth(1).and_then(|rest| rest.split(')').next());
        let file = format!("examples/replaced/{}", file.expect("it names its file"));
        holds(transcript(&blocks(section)), &file).await;
    }
}

async fn holds(steps: Vec<Step>, file: &str) {
    assert!(steps.len() > 5, "the transcript is gone");
    let gw = harness::gateway(Setup::file(&on_test_ports(&read(file)))).await;
    let script: String = steps.iter().map(|step| format!("{}\necho '{MARK}'\n", step.command)).collect();
    let script = script
        .replace("localhost:8080", &gw.address().to_string())
        .replace("target/debug/portcullis", env!("CARGO_BIN_EXE_portcullis"));

    let output = gw.command("bash").args(["-c", &script]).output().expect("bash is installed");

    let stdout = String::from_utf8_lossy(&output.stdout);
    let outputs: Vec<&str> = stdout.split(&format!("{MARK}\n")).collect();
    assert_eq!(outputs.len(), steps.len() + 1, "{output:?}");
    for (step, output) in steps.iter().zip(outputs) {
        let shown: Vec<&str> = output.lines().map(str::trim_end).collect();
        let is_as_told = shown.len() == step.expected.len()
            && shown.iter().zip(&step.expected).all(|(shown, expected)| fits(shown, expected));
        assert!(is_as_told, "$ {}\nanswers\n{shown:#?}\nand not\n{:#?}", step.command, step.expected);
    }
}

/// The ```console blocks of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Their commands, with what they answer.
fn transcript(blocks: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks.iter().flat_map(|block| block.lines()) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
        } else if let Some(step) = steps.last_mut().filter(|_| !line.is_empty() && !line.starts_with("# ")) {
            step.expected.push(line.to_owned());
        }
    }
    steps
}

/// The shipped file, but for its addresses.
pub fn on_test_ports(yaml: &str) -> String {
    let replaced = [
        ("127.0.0.1:8080", "\"${PROXY}\""),
        ("127.0.0.1:9090", "\"${ADMIN}\""),
        ("127.0.0.1:9000", "\"${UPSTREAM}\""),
    ];
    replaced.into_iter().fold(yaml.to_owned(), |yaml, (shipped, ours)| {
        assert!(yaml.contains(shipped), "the file no longer says {shipped}");
        yaml.replace(shipped, ours)
    })
}

/// Whether `shown` is `expected`, its `…` being any text.
fn fits(shown: &str, expected: &str) -> bool {
    let mut parts = expected.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = shown.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

pub fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_ellipsis_fits_any_text_but_the_rest_must_be_there() {
    assert!(fits(r#"{"id":"7","name":"alice"}"#, r#"{"id":"…","name":"alice"}"#));
    assert!(fits("same", "same"));
    assert!(fits("anything at all", "…"));
    assert!(!fits("same and more", "same"));
    assert!(!fits(r#"{"id":"7","name":"bob"}"#, r#"{"id":"…","name":"alice"}"#));
}
