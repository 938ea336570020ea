//! The connection between one gateway and a store, which can be cut, or fall silent while it stays open.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Whole,
    /// Connections break, new ones are closed at once.
    Cut,
    /// Connections stay open and nothing passes.
    Silent,
    /// The same from the moment on when a gateway sends this text.
    SilentAt(&'static str),
}

pub struct Cable {
    address: SocketAddr,
    state: watch::Sender<State>,
    /// How often a text was held.
    held: watch::Sender<usize>,
}

impl Cable {
    pub async fn to(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (state, seen) = watch::channel(State::Whole);
        let held = watch::Sender::new(0);
        tokio::spawn(accept(listener, store, seen, held.clone()));
        Self { address, state, held }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Returns once the text is held that [`State::SilentAt`] waits for.
    pub async fn until_held(&self) {
        let mut held = self.held.subscribe();
        let wait = tokio::time::timeout(super::PATIENCE, held.wait_for(|held| *held > 0)).await;
        wait.expect("the text comes in time").expect("the cable is there");
    }
}

/// Until the cable is dropped.
async fn accept(
    listener: TcpListener,
    store: SocketAddr,
    state: watch::Receiver<State>,
    held: watch::Sender<usize>,
) {
    let mut end = state.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(join(stream, store, state.clone(), held.clone()));
            }
            // The state changed, which connections see for themselves, or nobody is left to change it.
            changed = end.changed() => if changed.is_err() { return },
        }
    }
}

async fn join(
    gateway: TcpStream,
    store: SocketAddr,
    mut state: watch::Receiver<State>,
    held: watch::Sender<usize>,
) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(store) = TcpStream::connect(store).await else { return };
    let (gateway_read, gateway_write) = gateway.into_split();
    let (store_read, store_write) = store.into_split();
    tokio::select! {
        () = pass(gateway_read, store_write, state.clone(), Some(held)) => {}
        () = pass(store_read, gateway_write, state.clone(), None) => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

/// `held`: of what comes from a gateway.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    held: Option<watch::Sender<usize>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let sent = &buffer[..length];
        let waits = match *state.borrow() {
            State::Silent => true,
            State::SilentAt(text) => held.is_some() && has(sent, text.as_bytes()),
            State::Whole | State::Cut => false,
        };
        if waits {
            held.iter().for_each(|held| held.send_modify(|held| *held += 1));
            let passes = |state: &State| !matches!(state, State::Silent | State::SilentAt(_));
            if state.wait_for(passes).await.is_err() {
                return;
            }
        }
        if to.write_all(sent).await.is_err() {
            return;
        }
    }
}

fn has(sent: &[u8], text: &[u8]) -> bool {
    sent.windows(text.len()).any(|part| part == text)
}
