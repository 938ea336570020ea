//! A client's connection, below HTTP: how long it may take, what has been read ahead of the request, and how it
//! is closed.

mod body_end;
mod count;
mod linger;
mod stream;
mod timer;

pub use body_end::BodyEnd;
pub use count::{ConnectionLimits, Max, Refused};
pub use stream::{ClientStream, NoAnswer, Patience};
