//! A stored body on its way to a client: all of it, or part by part as it is read from the store.

use std::any::Any;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::cache::CacheKey;
use pingora::cache::storage::{HandleHit, Storage};
use pingora::cache::trace::SpanHandle;
use pingora::{Error, ErrorType, Result};

use super::storage::{ResponseStorage, name};
use crate::store::{PART_BYTES, Parts, StoredBody};

pub struct Hit {
    storage: &'static ResponseStorage,
    key: String,
    body: StoredBody,
    /// What is to be read: of the whole body, unless a range was asked for.
    at: usize,
    end: usize,
}

impl Hit {
    pub fn new(storage: &'static ResponseStorage, key: &CacheKey, body: StoredBody) -> Self {
        let end = length(&body);
        Self { storage, key: name(key), body, at: 0, end }
    }

    /// What is to be read of the part that `at` lies in. A part that is gone or isn't as long as it has to be
    /// ends the answer; the next request computes it anew.
    async fn read_part(&self, parts: Parts) -> Result<Bytes> {
        let number = self.at / PART_BYTES;
        let found = match self.storage.responses.parts() {
            Some(store) => store.find_part(parts.id, number as u64).await,
            None => Ok(None),
        };
        let (begin, whole) = (number * PART_BYTES, length(&self.body));
        match found {
            Ok(Some(part)) if part.len() == PART_BYTES.min(whole - begin) => {
                Ok(part.slice(self.at - begin..part.len().min(self.end - begin)))
            }
            Ok(_) => {
                self.storage.forget(&self.key).await;
                Error::e_explain(ErrorType::ReadError, "a part of a stored body is gone")
            }
            Err(error) => {
                self.storage.note(&error);
                Error::e_explain(ErrorType::ReadError, "a part of a stored body can't be read")
            }
        }
    }
}

fn length(body: &StoredBody) -> usize {
    match body {
        StoredBody::Whole(body) => body.len(),
        StoredBody::InParts(parts) => usize::try_from(parts.bytes).unwrap_or(usize::MAX),
    }
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let read = match &self.body {
            StoredBody::Whole(body) => body.slice(self.at..self.end),
            StoredBody::InParts(parts) => self.read_part(*parts).await?,
        };
        self.at += read.len();
        Ok(Some(read))
    }

    async fn finish(
        self: Box<Self>,
        _: &'static (dyn Storage + Sync),
        _: &CacheKey,
        _: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let whole = length(&self.body);
        let end = end.unwrap_or(whole).min(whole);
        if start > end {
            return Error::e_explain(ErrorType::InternalError, "a range begins after the stored body");
        }
        (self.at, self.end) = (start, end);
        Ok(())
    }

    fn get_eviction_weight(&self) -> usize {
        length(&self.body)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
