//! A program under valgrind's callgrind, which counts what it is asked to count.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::process::{PROXY_CORE, Process};

/// What mimalloc is called by for a new piece of memory, a larger one included.
const ALLOCATES: [&str; 6] =
    ["mi_malloc", "mi_malloc_aligned", "mi_zalloc", "mi_zalloc_aligned", "mi_realloc", "mi_realloc_aligned"];

pub struct Recorder {
    process: Process,
    folder: PathBuf,
    records: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counts {
    pub instructions: f64,
    pub allocations: f64,
}

impl Recorder {
    /// Counts nothing yet. `--fair-sched`: otherwise threads that wait never give way.
    pub fn start(folder: &Path, program: &Path, arguments: &[&str], address: &str) -> Result<Self, Failure> {
        let out = format!("--callgrind-out-file={}", folder.join("counts").display());
        let program = program.to_str().ok_or("the program's path is not UTF-8")?;
        let mut words = vec!["--tool=callgrind", "--fair-sched=yes", "--instr-atstart=no", &out, program];
        words.extend(arguments);
        let process = Process::start(PROXY_CORE, Path::new("valgrind"), &words)?.listening(address)?;
        Ok(Self { process, folder: folder.to_path_buf(), records: 0 })
    }

    /// What the program did while `work` was done.
    pub fn record(&mut self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Counts, Failure> {
        self.control(&["-i", "on"])?;
        work()?;
        self.control(&["-i", "off"])?;
        self.control(&["-d"])?;
        self.records += 1;
        let written = self.folder.join(format!("counts.{}", self.records));
        read(&std::fs::read_to_string(&written).map_err(|error| format!("{}: {error}", written.display()))?)
    }

    fn control(&self, words: &[&str]) -> Result<(), Failure> {
        let id = self.process.id().to_string();
        let done = Command::new("callgrind_control")
            .args(words)
            .arg(id)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !done.success() {
            return Err("callgrind_control failed".into());
        }
        Ok(())
    }
}

impl Counts {
    /// The same for each of so many.
    pub fn per(self, times: u32) -> Self {
        let times = f64::from(times);
        Self { instructions: self.instructions / times, allocations: self.allocations / times }
    }
}

/// From callgrind's file: its total, and how often the allocator was called from outside itself.
/// A name stands behind its number where it comes first; later the number stands alone.
fn read(file: &str) -> Result<Counts, Failure> {
    let mut names = HashMap::new();
    let (mut within, mut called) = ("", "");
    let (mut instructions, mut allocations) = (None, 0.0);
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            within = resolve(name, &mut names);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = resolve(name, &mut names);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count: f64 = calls.split(' ').next().unwrap_or_default().parse()?;
            let is_outside = !within.starts_with("mi_") && !within.starts_with("_mi_");
            if is_outside && ALLOCATES.contains(&called) {
                allocations += count;
            }
        } else if let Some(total) = line.strip_prefix("totals:") {
            instructions = Some(total.trim().parse()?);
        }
    }
    let instructions = instructions.ok_or("callgrind wrote no total")?;
    Ok(Counts { instructions, allocations })
}

/// The name of `(12) name` or `(12)`.
fn resolve<'f>(text: &'f str, names: &mut HashMap<&'f str, &'f str>) -> &'f str {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(text).copied().unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_allocator_count_unless_it_calls_itself() {
        let file = "fn=(1) main\n10 5\ncfn=(2) mi_malloc_aligned\ncalls=3 20\n10 60\n\
                    cfn=(3) other\ncalls=7 30\n11 70\nfn=(2)\n20 9\ncfn=(4) mi_malloc\ncalls=3 40\n\
                    20 8\nfn=(3)\n1 1\ncfn=(2)\ncalls=2 20\n1 4\ntotals: 1000\n";

        assert_eq!(read(file).unwrap(), Counts { instructions: 1000.0, allocations: 5.0 });
    }
}
