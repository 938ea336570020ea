//! A time limit that costs nothing until it is waited on.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub struct Timer {
    /// Kept for the next time.
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Timer {
    /// Ready when `span` has passed since the first call after the last [`stop`](Self::stop).
    pub fn poll(&mut self, cx: &mut Context<'_>, span: Duration) -> Poll<()> {
        if !self.is_running {
            let until = Instant::now() + span;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => self.sleep = Some(Box::pin(sleep_until(until))),
            }
            self.is_running = true;
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    pub fn stop(&mut self) {
        self.is_running = false;
    }
}
