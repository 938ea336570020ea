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
}

pub struct Cable {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Cable {
    pub async fn to(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (state, seen) = watch::channel(State::Whole);
        tokio::spawn(accept(listener, store, seen));
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Until the cable is dropped.
async fn accept(listener: TcpListener, store: SocketAddr, state: watch::Receiver<State>) {
    let mut end = state.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                tokio::spawn(join(stream, store, state.clone()));
            }
            // The state changed, which connections see for themselves, or nobody is left to change it.
            changed = end.changed() => if changed.is_err() { return },
        }
    }
}

async fn join(gateway: TcpStream, store: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(store) = TcpStream::connect(store).await else { return };
    let (gateway_read, gateway_write) = gateway.into_split();
    let (store_read, store_write) = store.into_split();
    tokio::select! {
        () = pass(gateway_read, store_write, state.clone()) => {}
        () = pass(store_read, gateway_write, state.clone()) => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if state.wait_for(|state| *state != State::Silent).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
