//! The TOML file of `--config`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::suggest::did_you_mean;
use super::{Kind, Schema};

/// Values of the file by key, as text, and the faults found.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    values: BTreeMap<String, String>,
    tables: BTreeMap<String, Vec<Table>>,
    pub(super) faults: Vec<String>,
}

impl ConfigFile {
    pub(super) fn load(schema: &Schema, path: &Path) -> Self {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read it: {error}"));
        let table = text.and_then(|text| {
            // Only the message: the rest of the error quotes the line, which may contain a secret.
            text.parse::<Table>().map_err(|error| format!("is not TOML: {}", error.message()))
        });
        match table {
            Ok(table) => file.read_table(schema, table),
            Err(reason) => file.fault(&reason),
        }
        file
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(super) fn take_tables(&mut self) -> BTreeMap<String, Vec<Table>> {
        std::mem::take(&mut self.tables)
    }

    fn fault(&mut self, what: &str) {
        self.faults.push(format!("{}: {what}", self.path.display()));
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "any other TOML value is one of a setting")]
    fn read_table(&mut self, schema: &Schema, table: Table) {
        for (key, value) in table {
            match value {
                value if schema.tables.contains(&key.as_str()) => self.read_tables(&key, value),
                Value::Table(inner) => self.read_group(schema, &key, inner),
                value => self.read_value(&KnownKeys::all(schema), &key, &value),
            }
        }
    }

    fn read_tables(&mut self, key: &str, value: Value) {
        match value.try_into::<Vec<Table>>() {
            Ok(tables) => {
                self.tables.insert(key.to_owned(), tables);
            }
            Err(_) => self.fault(&format!("{key} is a list of tables: write [[{key}]]")),
        }
    }

    fn read_group(&mut self, schema: &Schema, group: &str, table: Table) {
        let known = KnownKeys::of_group(schema, group);
        if known.keys.is_empty() {
            let groups: Vec<_> = schema.settings.iter().map(|setting| setting.group).collect();
            self.fault(&format!(
                "[{group}] is not a group of settings{}",
                did_you_mean(group, &groups)
            ));
            return;
        }
        for (key, value) in table {
            self.read_value(&known, &key, &value);
        }
    }

    fn read_value(&mut self, known: &KnownKeys, key: &str, value: &Value) {
        if !known.keys.iter().any(|k| k == key) {
            let context = &known.context;
            self.fault(&format!(
                "{key} is not a setting{context}{}",
                did_you_mean(key, &known.keys)
            ));
            return;
        }
        let Some(text) = as_text(value) else {
            self.fault(&format!("{key} is a {}; write text, a number or a list", value.type_str()));
            return;
        };
        if self.values.insert(key.to_owned(), text).is_some() {
            self.fault(&format!("{key} is written twice"));
        }
    }
}

/// The keys allowed in one table of the file.
struct KnownKeys {
    keys: Vec<String>,
    context: String,
}

impl KnownKeys {
    fn all(schema: &Schema) -> Self {
        let mut keys = keys(schema, |_| true);
        keys.extend(schema.tables.iter().map(ToString::to_string));
        Self { keys, context: String::new() }
    }

    fn of_group(schema: &Schema, group: &str) -> Self {
        Self { keys: keys(schema, |g| g == group), context: format!(" of [{group}]") }
    }
}

fn keys(schema: &Schema, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut keys = Vec::new();
    for setting in schema.settings.iter().filter(|setting| wanted(setting.group)) {
        keys.push(setting.name.to_owned());
        if setting.kind == Kind::Secret {
            keys.push(setting.file_name());
        }
    }
    keys
}

/// Formats a value as in an environment variable: a list with commas.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            items.iter().map(as_text).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}
