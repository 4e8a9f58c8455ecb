//! Reads typed values, and continues after a fault so that all are reported at once.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::resolved::{Faults, GivenValue, Resolved, Value};
use super::values::{self, Rate};
use crate::secrets::{SecretSource, SecretText, Secrets};

/// Reads typed values and collects everything that is wrong.
///
/// After a fault a method returns the default (or nothing) so that reading goes on; what was
/// read counts only once [`Reader::finish`] agreed.
///
/// Every method panics on a name that is not declared in the schema, and those that return a
/// plain value on a setting without a usable default: both are mistakes in the program that the
/// first run with an empty environment shows.
#[derive(Debug)]
#[must_use = "faults are reported by finish"]
pub struct Reader<'a> {
    resolved: &'a Resolved,
    faults: Vec<String>,
}

impl Resolved {
    /// Starts reading typed values.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self, self.faults().to_vec())
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(resolved: &'a Resolved, faults: Vec<String>) -> Self {
        Self { resolved, faults }
    }

    /// Reads a duration: `500ms`, `20s`, `5m`, `24h`.
    pub fn duration(&mut self, name: &str) -> Duration {
        self.required(name, values::parse_duration)
    }

    /// Reads an optional duration.
    pub fn optional_duration(&mut self, name: &str) -> Option<Duration> {
        self.optional(name, values::parse_duration)
    }

    /// Reads a size in bytes: `64KiB`, `16MiB`.
    pub fn size(&mut self, name: &str) -> usize {
        self.required(name, values::parse_size)
    }

    /// Reads a rate: `30/m`, `100/s,burst=2000`.
    pub fn rate(&mut self, name: &str) -> Rate {
        self.required(name, str::parse)
    }

    /// Reads a rate of bytes: `8MiB/s,burst=64MiB`.
    pub fn byte_rate(&mut self, name: &str) -> Rate {
        self.required(name, values::parse_byte_rate)
    }

    /// Reads a text.
    pub fn text(&mut self, name: &str) -> String {
        self.required(name, |text| Ok(text.to_owned()))
    }

    /// Reads an optional text.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        self.optional(name, |text| Ok(text.to_owned()))
    }

    /// Reads a comma-separated list of texts; empty if absent.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        self.parse_list(name)
    }

    /// Reads a comma-separated list of values; empty if absent.
    pub fn parse_list<T: FromStr<Err: Display>>(&mut self, name: &str) -> Vec<T> {
        let parse = |text: &str| {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| item.parse().map_err(|e| format!("has {item:?}: {e}"))).collect()
        };
        self.optional(name, parse).unwrap_or_default()
    }

    /// Reads a value with `FromStr`; a fault consists of the value and the text of its error.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> T {
        self.required(name, parse)
    }

    /// Reads an optional value with `FromStr`.
    pub fn optional_parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.optional(name, parse)
    }

    /// Reads keys from the value or from the file it names, which is then watched.
    pub fn secrets(&mut self, name: &str) -> Option<SecretSource> {
        let value = self.resolved.get(name)?;
        let source = match &value.given {
            GivenValue::Text(text) | GivenValue::SecretText(text) => Secrets::parse(text)
                .map(SecretSource::fixed)
                .map_err(|error| format!("is not usable: {error}")),
            GivenValue::SecretFile(path) => {
                SecretSource::file(path).map_err(|error| format!("is not usable: {error}"))
            }
        };
        self.collect_fault(value, source)
    }

    /// Reads a password, from the value or from its file without the line break at the end; it may hold blanks.
    pub fn secret_line(&mut self, name: &str) -> Option<SecretText> {
        let value = self.resolved.get(name)?;
        self.collect_fault(value, given_text(value).and_then(|text| one_line(&text)))
    }

    /// Returns the file that a secret comes from, if it comes from one.
    #[must_use]
    pub fn secret_file(&self, name: &str) -> Option<PathBuf> {
        match &self.resolved.get(name)?.given {
            GivenValue::SecretFile(path) => Some(path.into()),
            GivenValue::Text(_) | GivenValue::SecretText(_) => None,
        }
    }

    /// Reads a text that may contain a password, from the value or the first line of its file.
    pub fn secret_text(&mut self, name: &str) -> Option<SecretText> {
        let value = self.resolved.get(name)?;
        let line = given_text(value).and_then(|text| match text.trim().lines().next() {
            Some(line) => Ok(SecretText::new(line)),
            None => Err("is empty".to_owned()),
        });
        self.collect_fault(value, line)
    }

    /// Reads the lines of a secret, from the value or its file, without blank ones and those that begin with `#`; `None` if it is
    /// absent.
    pub fn secret_lines(&mut self, name: &str) -> Option<Vec<SecretText>> {
        let value = self.resolved.get(name)?;
        let lines = given_text(value).map(|text| {
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(SecretText::new).collect()
        });
        self.collect_fault(value, lines)
    }

    /// Reads the tables `[[name]]` of the file; unusable ones become faults.
    pub fn tables<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let mut read = Vec::new();
        for (place, table) in self.resolved.tables(name) {
            match table.clone().try_into::<T>() {
                Ok(value) => read.push(value),
                // Only the message: the rest may quote the table, with a secret in it.
                Err(error) => self.faults.push(format!("{place}: {}", error.message())),
            }
        }
        read
    }

    /// Returns whether the file contains tables `[[name]]`, usable or not.
    #[must_use]
    pub fn has_tables(&self, name: &str) -> bool {
        self.resolved.tables(name).next().is_some()
    }

    /// Reports a fault of a table of `[[name]]`, found by comparing tables.
    pub fn table_fault(&mut self, name: &str, number: usize, what: impl Display) {
        let place = self.resolved.tables(name).nth(number).map(|(place, _)| place);
        self.faults.push(format!("{}: {what}", place.unwrap_or_else(|| format!("[[{name}]]"))));
    }

    /// Returns whether the setting has a value other than its default.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.resolved.get(name).is_some_and(|value| value.origin != super::Origin::Default)
    }

    /// Reports a fault found by comparing settings; the value comes first, then `what`.
    pub fn fault(&mut self, name: &str, what: impl Display) {
        let subject = match self.resolved.get(name) {
            Some(value) => value.describe(),
            None => self.resolved.variable(name),
        };
        self.faults.push(format!("{subject} {what}"));
    }

    /// Ends reading.
    ///
    /// # Errors
    /// All faults, in the order in which they were found.
    pub fn finish(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }

    fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.resolved.get(name)?;
        let read = match &value.given {
            GivenValue::Text(text) => parse(text),
            GivenValue::SecretText(_) | GivenValue::SecretFile(_) => {
                unreachable!("{name} is declared secret and read as plain")
            }
        };
        self.collect_fault(value, read)
    }

    fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        if let Some(value) = self.optional(name, &parse) {
            return value;
        }
        let default = self.resolved.default(name).and_then(|text| parse(text).ok());
        default.unwrap_or_else(|| panic!("{name} is read as required and has no usable default"))
    }

    fn collect_fault<T>(&mut self, value: &Value, read: Result<T, String>) -> Option<T> {
        read.map_err(|what| self.faults.push(format!("{} {what}", value.describe()))).ok()
    }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|error: T::Err| format!("cannot be used: {error}"))
}

/// Returns the text of a setting, or of the file that it names.
fn given_text(value: &Value) -> Result<String, String> {
    match &value.given {
        GivenValue::Text(text) | GivenValue::SecretText(text) => Ok(text.clone()),
        GivenValue::SecretFile(path) => read_file(path.as_ref()),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// Reads a password from its file, without the line break at the end.
///
/// # Errors
/// When the file cannot be read, is empty or has more than one line.
pub fn read_secret_line(path: &Path) -> Result<SecretText, String> {
    one_line(&read_file(path)?)
}

fn one_line(text: &str) -> Result<SecretText, String> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err("is empty".to_owned()),
        line if line.contains('\n') => Err("has more than one line".to_owned()),
        line => Ok(SecretText::new(line)),
    }
}
