//! A small backend without any authentication of its own, to put Portcullis in front of.
//!
//! It believes the identity headers it gets, so it must only be reachable through the gateway.

mod app;
mod caller;
mod echo;
mod expensive;
mod live;
mod notes;
mod odd;
mod pages;
mod stats;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: upstream-example [--listen ADDRESS:PORT]
The environment variable UPSTREAM_LISTEN says the same; without either it is 127.0.0.1:9000.";

/// How long open streams (SSE, WebSocket) may hold up the end.
const DRAIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let listen = match listen_address(std::env::args().skip(1), std::env::var("UPSTREAM_LISTEN").ok()) {
        Ok(address) => address,
        Err(complaint) => {
            eprintln!("{complaint}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(listen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upstream-example: listening on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The argument wins over the environment.
fn listen_address(
    mut args: impl Iterator<Item = String>,
    environment: Option<String>,
) -> Result<SocketAddr, String> {
    let mut text = environment.unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    while let Some(arg) = args.next() {
        if arg == "--listen" {
            text = args.next().ok_or("--listen needs a value")?;
        } else if let Some(value) = arg.strip_prefix("--listen=") {
            text = value.to_owned();
        } else {
            return Err(format!("unknown argument {arg:?}"));
        }
    }
    text.parse().map_err(|_| format!("{text:?} isn't an address and a port"))
}

async fn serve(listen: SocketAddr) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await?;
    eprintln!("upstream-example listens on http://{}", listener.local_addr()?);

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut graceful = stopped.clone();
    let mut at_the_latest = stopped;
    let server = axum::serve(listener, app::router()).with_graceful_shutdown(async move {
        let _ = graceful.wait_for(|stop| *stop).await;
    });
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        let _ = stop.send(true);
        // Kept until the end: a dropped sender would read as a stop as well.
        stop.closed().await;
    });
    tokio::select! {
        result = server => result,
        () = async {
            let _ = at_the_latest.wait_for(|stop| *stop).await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str], environment: Option<&str>) -> Result<SocketAddr, String> {
        listen_address(args.iter().map(ToString::to_string), environment.map(str::to_owned))
    }

    #[test]
    fn the_argument_wins_over_the_environment_and_the_default() {
        assert_eq!(parse(&[], None).unwrap().to_string(), "127.0.0.1:9000");
        assert_eq!(parse(&[], Some("127.0.0.1:1")).unwrap().port(), 1);
        assert_eq!(parse(&["--listen", "[::1]:2"], Some("127.0.0.1:1")).unwrap().port(), 2);
        assert_eq!(parse(&["--listen=127.0.0.1:3"], None).unwrap().port(), 3);
    }

    #[test]
    fn arguments_that_say_nothing_are_refused() {
        assert!(parse(&["--listen"], None).is_err());
        assert!(parse(&["--listen", "9000"], None).is_err());
        assert!(parse(&["--port", "9000"], None).is_err());
    }
}
