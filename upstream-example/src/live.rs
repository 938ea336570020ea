//! Connections that stay open: a WebSocket that echoes and a stream of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use futures::stream::{self, Stream};

use crate::caller::Caller;

/// Says who is calling first, then sends every message back.
pub async fn websocket(upgrade: WebSocketUpgrade, caller: Caller) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        if socket.send(Message::text(format!("hello, {}", caller.name()))).await.is_ok() {
            send_back(&mut socket).await;
        }
    })
}

async fn send_back(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        // The library answers pings and closes by itself.
        let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
        if is_data && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A tick at once and then every 100 ms, without end.
pub async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(0_u64, async |tick| {
        if tick > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some((Ok(Event::default().event("tick").data(tick.to_string())), tick + 1))
    }))
}
