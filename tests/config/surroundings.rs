//! A machine with one environment variable and no files.

use std::path::PathBuf;

use portcullis::config::compile::Compiled;
use portcullis::config::problem::Problem;
use portcullis::config::substitute::Surroundings;
use portcullis::server::load;

pub struct Bare;

impl Surroundings for Bare {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "PORT").then(|| "9001".to_owned())
    }

    fn file(&self, _path: &str) -> Result<String, String> {
        Err("there is no such file".to_owned())
    }

    fn locate(&self, path: &str) -> PathBuf {
        path.into()
    }
}

/// What the file means, or everything that is said about it, line by line.
pub fn load(text: &str) -> Result<Compiled, Vec<String>> {
    load::load_text("gateway.yaml", text, &Bare)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The same with the file's own tests.
pub fn tested(text: &str) -> Vec<Problem> {
    load::load_text_tested("gateway.yaml", text, &Bare).err().unwrap_or_default()
}

/// One line per problem.
pub fn said(problems: &[Problem]) -> String {
    load::render(problems)
}
