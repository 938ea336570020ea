//! A parsed file: its values, and where each of them stands.

use serde_json::Value;

use super::marks::Marks;

#[derive(Debug)]
pub struct Document {
    /// The file as the operator named it; problems begin with it.
    pub name: String,
    pub tree: Value,
    pub marks: Marks,
}
