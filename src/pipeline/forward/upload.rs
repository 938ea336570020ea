//! How long the upstream may take when the request has a body that is still to come.

use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;

use super::choose_upstream;
use crate::downstream::ClientStream;
use crate::exchange::Exchange;

/// A client that pauses isn't an upstream that is slow. Pingora waits for the answer from the first piece of the
/// body on; over HTTP/1 the client's stream waits instead, from the last. Over HTTP/2 the upstream
/// is given at least as long as a client may pause.
pub fn set_timeouts(peer: &mut HttpPeer, session: &mut Session, exchange: &Exchange) {
    if session.as_mut().is_body_empty() {
        return;
    }
    let Some(read) = choose_upstream::upstream(exchange).map(|upstream| upstream.timeouts.read) else {
        return;
    };
    match ClientStream::of(session) {
        Some(client) => {
            client.expect_answer_within(read);
            peer.options.read_timeout = None;
        }
        None => {
            let pause = exchange.edition.policy.listen.timeouts.body;
            peer.options.read_timeout = Some(read.max(pause));
        }
    }
}
