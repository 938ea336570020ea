//! One event as a line of JSON. Events of libraries that use the crate `log` carry the path of their source on the
//! machine that built them; that stays out.

use std::fmt;

use serde::ser::{SerializeMap, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::now;

/// Of the fields that `tracing` makes of a record of the crate `log`.
const OF_RECORD: &str = "log.";
const TARGET_OF_RECORD: &str = "log.target";

pub struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        write(&mut line, event).map_err(|_| fmt::Error)?;
        let line = std::str::from_utf8(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

fn write(line: &mut Vec<u8>, event: &Event<'_>) -> serde_json::Result<()> {
    let mut serializer = serde_json::Serializer::new(line);
    let mut map = serializer.serialize_map(None)?;
    let time = now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    map.serialize_entry("timestamp", &time)?;
    map.serialize_entry("level", event.metadata().level().as_str())?;
    let mut fields = Fields { map, target: None, outcome: Ok(()) };
    event.record(&mut fields);
    fields.outcome?;
    let target = fields.target.as_deref().unwrap_or(event.metadata().target());
    fields.map.serialize_entry("target", target)?;
    fields.map.end()
}

struct Fields<M: SerializeMap> {
    map: M,
    /// Of a record of the crate `log`.
    target: Option<String>,
    outcome: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn put(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        if self.outcome.is_ok() && !field.name().starts_with(OF_RECORD) {
            self.outcome = self.map.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == TARGET_OF_RECORD {
            self.target = Some(value.to_owned());
        }
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}
