//! Texts with rules, for the schemas of requests.

use utoipa::openapi::schema::{KnownFormat, SchemaFormat};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::identity::name;

/// By `identity::name::username`, which no pattern can say.
pub struct Username;
/// By `identity::email::parse`.
pub struct Email;
/// By `identity::name::is_role`.
pub struct Role;
/// By `identity::password::check`.
pub struct NewPassword;
/// RFC 3339.
pub struct Time;

const ADDRESS: &str = "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,31}(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,31})?@\
    ([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";

fn text(pattern: Option<&str>, lengths: (usize, usize), example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(pattern);
    let text = text.min_length(Some(lengths.0)).max_length(Some(lengths.1));
    text.examples([example]).into()
}

impl PartialSchema for Username {
    fn schema() -> RefOr<Schema> {
        text(None, (1, name::MAX_USERNAME), "alice")
    }
}

impl PartialSchema for Email {
    fn schema() -> RefOr<Schema> {
        text(Some(ADDRESS), (3, 254), "alice@example.org")
    }
}

impl PartialSchema for Role {
    fn schema() -> RefOr<Schema> {
        text(Some("^[a-z0-9][a-z0-9_.:-]*$"), (1, 64), "user")
    }
}

impl PartialSchema for NewPassword {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)));
        text.examples(["correct horse battery"]).into()
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        text.examples(["2026-01-31T12:00:00Z"]).into()
    }
}

impl ToSchema for Time {}
impl ToSchema for Username {}
impl ToSchema for Email {}
impl ToSchema for Role {}
impl ToSchema for NewPassword {}
