//! A real gateway in front of a real backend, for one test: on ports of its own, in a folder of
//! its own, ready when the function returns, gone with the test.
//!
//! ```ignore
//! let gw = harness::gateway("").await;
//! let alice = gw.register("alice").await;
//! assert_eq!(alice.get("/protected").await.status(), 200);
//! ```

mod by_hand;
mod cable;
mod client;
mod echo;
mod gateway;
mod http2;
mod mail;
mod metrics;
mod process;
mod raw;
mod raw_http2;
mod setup;
mod upstream;
mod wiretap;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use by_hand::ByHand;
pub use cable::{Cable, State as CableState};
pub use client::{Client, Reason, builder as client_builder};
pub use echo::Echo;
pub use gateway::{Gateway, Reload};
pub use http2::{Http2, read as read_http2};
pub use mail::{confirm_in_folder, mails_in_folder, token_of};
pub use metrics::Metrics;
pub use process::Process;
pub use raw::{RawAnswer, RawConnection};
pub use raw_http2::{Outcome, field, frames_until_closed, raw_http2};
pub use setup::{SECRET, Setup, Stores};
pub use upstream::Upstream;
pub use wiretap::Wiretap;

/// What every account of the harness has for a password.
pub const PASSWORD: &str = "correct horse battery staple";

/// How long anything may take on the slowest machine that should pass.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a gateway. Top-level keys of the given YAML replace those of the default file; see
/// [`Setup`] for more.
pub async fn gateway(setup: impl Into<Setup>) -> Gateway {
    Gateway::start(setup.into()).await
}

/// Asks until there is an answer; panics after [`PATIENCE`] with what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        // The pause between two questions, so that asking leaves the others a core to work on.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A program of this workspace, built along with the tests.
fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_portcullis")).with_file_name(name);
    assert!(
        program.is_file(),
        "{} isn't built; run the tests with `cargo test --workspace` or `./dev test`",
        program.display()
    );
    program
}
