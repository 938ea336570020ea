//! The `portcullis` binary. Everything it does is in the library.

use std::process::ExitCode;

use clap::Parser;

/// Worth 10 % over the system's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::run(portcullis::cli::Cli::parse())
}
