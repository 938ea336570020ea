//! A request's way, from top to bottom. Stages return; `gateway` answers.

pub mod arrive;
pub mod cache;
pub mod forward;
pub mod respond;
pub mod settle;

/// What the stages have made of a request.
pub enum Standing {
    Answered,
    /// This is to be sent.
    Found(cache::serve::PlainHit),
    /// Pingora's proxy goes on.
    Open,
}
