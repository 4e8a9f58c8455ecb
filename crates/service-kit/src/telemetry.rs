//! Logs on standard error, and the line on standard output with the addresses of a service.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::str::FromStr;

use serde::Serialize;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::{fmt, prelude::*};

use crate::settings::{Environment, Kind, Reader, Setting};
use crate::trace::{Exporter, TARGET};

/// Setting of the log filter, for a service's schema.
pub const LOG: Setting = Setting {
    name: "log",
    group: "logging",
    value: "FILTER",
    default: Some("info"),
    help: "Log filter: a level, or a filter such as info,signal_node=debug",
    kind: Kind::Plain,
};

/// Setting of the log format, for a service's schema.
pub const LOG_FORMAT: Setting = Setting {
    name: "log_format",
    group: "logging",
    value: "FORMAT",
    default: Some("auto"),
    help: "text, json, or auto: text on a terminal and JSON elsewhere",
    kind: Kind::Plain,
};

/// Filter and format of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Format of the lines.
    pub format: LogFormat,
    /// Syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text, for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write auto, text or json"),
        }
    }
}

impl LogSettings {
    /// Reads [`LOG`] and [`LOG_FORMAT`], which the schema must declare.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let filter = reader.text(LOG.name);
        if let Err(error) = EnvFilter::try_new(&filter) {
            reader.fault(LOG.name, format_args!("is not a filter: {error}"));
        }
        Self { format: reader.parse(LOG_FORMAT.name), filter }
    }

    /// Starts logging to standard error, and tracing if the environment configures it. Once per
    /// process.
    ///
    /// # Errors
    /// When a logger is already set in this process, or the trace settings are unusable.
    ///
    /// # Panics
    /// When the filter is invalid, which [`LogSettings::read`] reports as a fault.
    pub fn init(&self, service: &str) -> io::Result<Telemetry> {
        let exporter = Exporter::open(service, &Environment::from_process())?;
        let terminal = io::stderr().is_terminal();
        let lines = fmt::layer().with_writer(io::stderr);
        let lines = match self.format {
            LogFormat::Json => lines.json().boxed(),
            LogFormat::Auto if !terminal => lines.json().boxed(),
            LogFormat::Auto | LogFormat::Text => {
                lines.with_ansi(terminal).fmt_fields(escaped_fields()).boxed()
            }
        };
        let filter = EnvFilter::try_new(&self.filter).expect("the filter was checked when read");
        let lines = lines.with_filter(filter.and(filter_fn(is_loggable)));
        let registry = tracing_subscriber::registry().with(lines).with(exporter.layer());
        registry.try_init().map_err(io::Error::other)?;
        Ok(Telemetry(exporter))
    }
}

/// Formats fields with control characters escaped, so that text from clients can neither write
/// terminal sequences nor forge a line.
fn escaped_fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let fields = debug_fn(|writer, field, value| {
        let text = escaped(&format!("{value:?}"));
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{name}={text}"),
        }
    });
    fields.delimited(" ")
}

/// Escapes control characters as in a Rust literal.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Returns whether something may be logged at all. Spans go to the collector only; debug output of
/// libraries contains what passes through them, tokens and payloads included.
fn is_loggable(of: &Metadata<'_>) -> bool {
    let ours = OWN_CRATES.iter().any(|name| of.target().starts_with(name));
    of.target() != TARGET && (ours || *of.level() <= Level::INFO)
}

/// Targets of this project's own log lines.
const OWN_CRATES: [&str; 6] = [
    "signal_node",
    "turn_cred_service",
    "service_kit",
    "all_in_one",
    "ws_codec",
    "signal_protocol",
];

/// The running log and trace exporters; [`Telemetry::end`] flushes them.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(Exporter);

impl Telemetry {
    /// Flushes the trace exporter. Must not be called within a runtime.
    pub fn end(self) {
        self.0.end();
    }
}

#[derive(Serialize)]
struct ListeningEvent<'a> {
    event: &'static str,
    service: &'a str,
    #[serde(flatten)]
    addresses: BTreeMap<&'a str, String>,
}

/// Prints the addresses of a service by role as one JSON line on standard output:
/// `{"event":"listening","service":"signal-node","admin":"127.0.0.1:9080","public":"127.0.0.1:8080"}`.
///
/// Scripts that start a service on port 0 wait for this line.
pub fn announce<'a>(service: &str, addresses: impl IntoIterator<Item = (&'a str, impl Display)>) {
    let line = announcement(service, addresses);
    // A closed standard output is no failure.
    let _ = writeln!(io::stdout(), "{line}");
}

fn announcement<'a>(
    service: &str,
    addresses: impl IntoIterator<Item = (&'a str, impl Display)>,
) -> String {
    let addresses = addresses.into_iter().map(|(role, address)| (role, address.to_string()));
    let line = ListeningEvent { event: "listening", service, addresses: addresses.collect() };
    serde_json::to_string(&line).expect("a map of strings serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_one_json_line_with_an_address_per_role() {
        let line = announcement("toy", [("public", "127.0.0.1:1"), ("internal", "unix:/run/toy")]);
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "event": "listening",
                "service": "toy",
                "public": "127.0.0.1:1",
                "internal": "unix:/run/toy",
            })
        );
    }

    #[test]
    fn a_log_format_is_one_of_three() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("yaml".parse::<LogFormat>().is_err());
    }

    /// Returns what the text logger writes.
    fn logged(act: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let copy = sink.clone();
        let lines = fmt::layer().with_writer(move || copy.clone()).with_ansi(false);
        let lines = lines.fmt_fields(escaped_fields());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), act);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn logged_input_cannot_write_terminal_escapes_or_forge_a_line() {
        let said = "\u{1b}[31mred\r\n2026-01-01T00:00:00Z INFO forged\u{7}";
        let text = logged(|| tracing::info!(error = said, shown = %said, "refused: {said}"));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        assert_eq!(text.lines().count(), 1, "{text:?}");
    }
}
