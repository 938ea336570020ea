//! Purges of the response cache: a log of what must no longer be served, which every gateway reads.
//!
//! Nothing is searched for and deleted. Each stored answer carries a [`Label`] that says how much of
//! the log its gateway had read before it asked the upstream; a purge that comes later in the log
//! and concerns the answer makes it as good as absent. So an answer that was on its way while the
//! purge was made doesn't survive it either.

use std::str::FromStr;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::marks::Marks;
use crate::identity::UserId;

/// Longer names and paths are nobody's, and would fill the log.
const MAX_TEXT: usize = 1024;
/// Of one answer; the others are ignored, so they are also never purged by: see `with_tags`.
const MAX_TAGS: usize = 64;

/// Which stored answers must no longer be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purge {
    Everything,
    /// By the route's name.
    Route(String),
    /// Every path that begins so.
    Prefix(String),
    /// What was computed for this user alone.
    User(uuid::Uuid),
    /// One of `Cache-Tag` or `Surrogate-Key` of the upstream.
    Tag(String),
    /// What has this key: an unsafe request went well. It is removed from the store besides, so this is for copies
    /// within processes and for what is on its way, and needn't be remembered for long. Not for operators to say.
    #[serde(skip)]
    Answer(AnswerKey),
}

/// Of a stored answer, whatever its variant: a hash. Should two share one, both are concerned.
pub type AnswerKey = u64;

/// How far somebody has read the log of purges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64, pub u64);

/// What a stored answer says about itself to those who purge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// Before the upstream was asked.
    pub epoch: Epoch,
    pub key: AnswerKey,
    pub route: String,
    pub path: String,
    /// Whose answer it is, when the route keeps one per user.
    pub user: Option<UserId>,
    pub tags: Vec<String>,
}

#[async_trait]
pub trait Purges: Send + Sync {
    /// Adds to the log; the own marks may take a moment to follow.
    async fn purge(&self, what: &Purge) -> Result<(), StoreError>;
    /// What has been read of the log.
    fn marks(&self) -> &Marks;
}

impl Purge {
    /// `Err` says what is wrong, for people.
    pub fn check(self) -> Result<Self, &'static str> {
        let text = match &self {
            Self::Everything | Self::User(_) | Self::Answer(_) => return Ok(self),
            Self::Prefix(prefix) if !prefix.starts_with('/') => return Err("a prefix begins with /"),
            Self::Route(text) | Self::Prefix(text) | Self::Tag(text) => text,
        };
        match text.len() {
            0 => Err("an empty name purges nothing"),
            length if length > MAX_TEXT => Err("longer than 1024 bytes"),
            _ => Ok(self),
        }
    }
}

impl Label {
    pub fn to_bytes(&self) -> Bytes {
        let Self { epoch: Epoch(of, number), key, route, path, user, tags } = self;
        let mut bytes = Vec::with_capacity(self.weight());
        [of, number, key].into_iter().for_each(|number| bytes.put_u64(*number));
        bytes.put_u8(user.is_some().into());
        bytes.put_u128(user.unwrap_or_default().as_u128());
        bytes.put_u8(u8::try_from(tags.len()).unwrap_or(u8::MAX));
        for text in [route, path].into_iter().chain(tags) {
            bytes.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            bytes.put_slice(text.as_bytes());
        }
        bytes.into()
    }

    /// `None` for what no gateway of this version wrote.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let epoch = Epoch(bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        let key = bytes.try_get_u64().ok()?;
        let is_for_one = bytes.try_get_u8().ok()? != 0;
        let user = UserId::from_u128(bytes.try_get_u128().ok()?);
        let count = usize::from(bytes.try_get_u8().ok()?);
        let (route, path) = (text(&mut bytes)?, text(&mut bytes)?);
        let tags = (0..count).map(|_| text(&mut bytes)).collect::<Option<_>>()?;
        let user = is_for_one.then_some(user);
        bytes.is_empty().then_some(Self { epoch, key, route, path, user, tags })
    }

    /// `None` when there are more tags than an answer may have: it could not be purged by all of them.
    pub fn with_tags<'t>(&self, tags: impl Iterator<Item = &'t str>) -> Option<Self> {
        let tags: Vec<String> = tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        let is_bounded = tags.len() <= MAX_TAGS && tags.iter().all(|tag| tag.len() <= MAX_TEXT);
        is_bounded.then(|| Self { tags, ..self.clone() })
    }

    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + self.route.len()
            + self.path.len()
            + self.tags.iter().map(String::len).sum::<usize>()
    }
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(str::from_utf8(text).ok()?.to_owned())
}

/// Redis' id of an entry in a stream.
impl FromStr for Epoch {
    type Err = ();

    fn from_str(id: &str) -> Result<Self, ()> {
        let (ms, number) = id.split_once('-').ok_or(())?;
        Ok(Self(ms.parse().map_err(drop)?, number.parse().map_err(drop)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_was_written_and_nonsense_is_none() {
        let label = Label {
            epoch: Epoch(5, 1),
            key: u64::MAX,
            route: "r".into(),
            path: "/a".into(),
            ..Label::default()
        };
        let tagged = label.with_tags(["x", "", "y"].into_iter()).expect("few tags");

        assert_eq!(tagged.tags, ["x", "y"]);
        let bytes = tagged.to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(Label::from_bytes(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Label::from_bytes(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Label::from_bytes(&bytes), Some(tagged));
        let of_one = Label { user: Some(UserId::from_u128(7)), ..label.clone() };
        assert_eq!(Label::from_bytes(&of_one.to_bytes()), Some(of_one));
        assert_eq!(Label::from_bytes(b"{}"), None);
        assert_eq!(Label::from_bytes(b""), None);
        assert_eq!(label.with_tags((0..65).map(|_| "t")), None);
    }

    #[test]
    fn what_purges_nothing_or_is_too_long_is_refused() {
        for wrong in [Purge::Prefix("a".into()), Purge::Route(String::new()), Purge::Tag("x".repeat(1025))] {
            assert!(wrong.check().is_err());
        }
        assert!(Purge::Prefix("/".into()).check().is_ok());
    }
}
