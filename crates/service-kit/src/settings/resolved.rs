//! Merges the layers: which value wins, and its origin.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::file::ConfigFile;
use super::{Environment, Kind, Schema, Setting};

/// The value of every setting as text, before it is parsed.
#[derive(Debug)]
pub struct Resolved {
    schema: Schema,
    values: Vec<Option<Value>>,
    file: PathBuf,
    tables: BTreeMap<String, Vec<toml::Table>>,
    faults: Vec<String>,
}

/// The layer that a value came from.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    Environment,
    File(PathBuf),
    /// The default in the schema.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value with its origin.
pub(super) struct Value {
    pub(super) given: GivenValue,
    pub(super) origin: Origin,
    /// Its name in the layer: `--grace`, `SIGNAL_NODE_GRACE`, `grace`.
    written_as: String,
}

/// The value itself, or the file that contains it.
#[derive(Clone)]
pub(super) enum GivenValue {
    Text(String),
    SecretText(String),
    SecretFile(PathBuf),
}

impl Value {
    /// Formats the start of a fault: `SIGNAL_NODE_GRACE="abc" (environment)`. Secrets are left out.
    pub(super) fn describe(&self) -> String {
        let (written_as, origin) = (&self.written_as, &self.origin);
        match &self.given {
            GivenValue::Text(text) => format!("{written_as}={:?} ({origin})", masked(text)),
            GivenValue::SecretText(_) => format!("{written_as} ({origin})"),
            GivenValue::SecretFile(path) => format!("{written_as}={:?} ({origin})", path.display()),
        }
    }
}

/// Prints the origin only: the value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} from {})", self.written_as, self.origin)
    }
}

impl Resolved {
    pub(super) fn layer(schema: Schema, flags: &ArgMatches, environment: &Environment) -> Self {
        let mut faults = environment.faults(&schema);
        let config = flag(flags, "config").or_else(|| variable(environment, &schema, "config"));
        let mut file =
            config.map(|path| ConfigFile::load(&schema, Path::new(path))).unwrap_or_default();
        faults.extend(file.faults.iter().cloned());
        let (path, tables) = (file.path.clone(), file.take_tables());
        let mut layers = Layers { schema, flags, environment, file, faults };
        let values = schema.settings.iter().map(|setting| layers.value(setting)).collect();
        Self { schema, values, file: path, tables, faults: layers.faults }
    }

    /// The faults found while the layers were read.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Formats the effective settings: one per line with its origin, secrets masked.
    #[must_use]
    pub fn describe(&self) -> String {
        let settings = self.schema.settings.iter().zip(&self.values).map(row);
        let tables = self.tables.iter().map(|(name, tables)| {
            [name.clone(), format!("{} tables", tables.len()), format!("({})", self.file.display())]
        });
        let rows: Vec<_> = settings.chain(tables).collect();
        let width = |column: fn(&[String; 3]) -> &String| {
            rows.iter().map(|row| column(row).chars().count()).max().unwrap_or_default()
        };
        let (names, values) = (width(|row| &row[0]), width(|row| &row[1]).min(48));
        let line = |[name, value, origin]: &[String; 3]| {
            format!("{name:names$}  {value:values$}  {origin}\n")
        };
        rows.iter().map(line).collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values[self.position(name)].as_ref()
    }

    /// The tables `[[name]]` of the file, each with the prefix of its faults.
    pub(super) fn tables(&self, name: &str) -> impl Iterator<Item = (String, &toml::Table)> {
        assert!(self.schema.tables.contains(&name), "{name} is not declared in the schema");
        let tables = self.tables.get(name).into_iter().flatten().enumerate();
        let prefix = move |at| format!("{}: [[{name}]] {}", self.file.display(), at + 1);
        tables.map(move |(at, table)| (prefix(at), table))
    }

    pub(super) fn default(&self, name: &str) -> Option<&'static str> {
        self.schema.settings[self.position(name)].default
    }

    pub(super) fn variable(&self, name: &str) -> String {
        self.schema.variable(name)
    }

    fn position(&self, name: &str) -> usize {
        let found = self.schema.settings.iter().position(|setting| setting.name == name);
        found.unwrap_or_else(|| panic!("{name} is not declared in the schema"))
    }
}

/// Hides what URLs carry beside a place: user and password, and the query, in which keys are found too.
fn masked(text: &str) -> String {
    let items = text.split(',').map(|item| {
        let Some((scheme, rest)) = item.split_once("://") else { return item.to_owned() };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = match authority.rsplit_once('@') {
            Some((_, host)) => format!("********@{host}"),
            None => authority.to_owned(),
        };
        let path = match path.split_once('?') {
            Some((path, _)) => format!("{path}?********"),
            None => path.to_owned(),
        };
        format!("{scheme}://{authority}{path}")
    });
    items.collect::<Vec<_>>().join(",")
}

fn row((setting, value): (&Setting, &Option<Value>)) -> [String; 3] {
    let (shown, origin) = match value {
        None => ("-".to_owned(), "not set".to_owned()),
        Some(Value { given: GivenValue::Text(text), origin, .. }) => {
            (masked(text), origin.to_string())
        }
        Some(Value { given: GivenValue::SecretText(_), origin, .. }) => {
            ("********".to_owned(), origin.to_string())
        }
        Some(Value { given: GivenValue::SecretFile(path), origin, .. }) => {
            ("********".to_owned(), format!("{origin}, file {}", path.display()))
        }
    };
    [setting.name.to_owned(), shown, format!("({origin})")]
}

/// The layers of a value.
struct Layers<'a> {
    schema: Schema,
    flags: &'a ArgMatches,
    environment: &'a Environment,
    file: ConfigFile,
    faults: Vec<String>,
}

impl Layers<'_> {
    fn value(&mut self, setting: &Setting) -> Option<Value> {
        self.on_command_line(setting)
            .or_else(|| self.in_environment(setting))
            .or_else(|| self.in_file(setting))
            .or_else(|| from_default(setting))
    }

    fn on_command_line(&self, setting: &Setting) -> Option<Value> {
        let text = flag(self.flags, setting.name)?.to_owned();
        let given = match setting.kind {
            Kind::Plain => GivenValue::Text(text),
            Kind::Secret => GivenValue::SecretFile(text.into()),
        };
        let written_as = format!("--{}", setting.flag());
        Some(Value { given, origin: Origin::CommandLine, written_as })
    }

    fn in_environment(&mut self, setting: &Setting) -> Option<Value> {
        let name_of = |name: &str| self.schema.variable(name);
        let direct = match setting.kind {
            Kind::Plain => variable(self.environment, &self.schema, setting.name),
            // An empty secret is a mistake to report, such as an unset variable in a script.
            Kind::Secret => self.environment.get(&name_of(setting.name)),
        };
        let in_file = variable(self.environment, &self.schema, &setting.file_name());
        let value = value_or_file(setting, direct, in_file, &Origin::Environment, &name_of);
        value.unwrap_or_else(|fault| self.record_fault(fault))
    }

    fn in_file(&mut self, setting: &Setting) -> Option<Value> {
        let origin = Origin::File(self.file.path.clone());
        let direct = self.file.get(setting.name);
        let in_file = self.file.get(&setting.file_name());
        let value = value_or_file(setting, direct, in_file, &origin, &str::to_owned);
        value.unwrap_or_else(|fault| self.record_fault(fault))
    }

    fn record_fault(&mut self, fault: String) -> Option<Value> {
        self.faults.push(fault);
        None
    }
}

/// Returns the value, or for a secret the file that contains it; both at once is a fault.
fn value_or_file(
    setting: &Setting,
    direct: Option<&str>,
    in_file: Option<&str>,
    origin: &Origin,
    name_of: &dyn Fn(&str) -> String,
) -> Result<Option<Value>, String> {
    let (name, file_name) = (name_of(setting.name), name_of(&setting.file_name()));
    let (given, written_as) = match (setting.kind, direct, in_file) {
        (Kind::Plain, Some(text), _) => (GivenValue::Text(text.to_owned()), name),
        (Kind::Secret, Some(_), Some(_)) => {
            return Err(format!("{name} and {file_name} ({origin}) are both set: keep one"));
        }
        (Kind::Secret, Some(text), None) => (GivenValue::SecretText(text.to_owned()), name),
        (Kind::Secret, None, Some(path)) => (GivenValue::SecretFile(path.into()), file_name),
        (Kind::Plain | Kind::Secret, None, _) => return Ok(None),
    };
    Ok(Some(Value { given, origin: origin.clone(), written_as }))
}

fn from_default(setting: &Setting) -> Option<Value> {
    let given = GivenValue::Text(setting.default?.to_owned());
    Some(Value { given, origin: Origin::Default, written_as: setting.name.to_owned() })
}

/// Returns a flag. A command line that does not declare it, as in an embedding program, counts as
/// not set.
fn flag<'a>(flags: &'a ArgMatches, name: &str) -> Option<&'a str> {
    flags.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// Returns a variable. An empty one counts as not set, because compose files write `${NAME:-}`.
fn variable<'a>(environment: &'a Environment, schema: &Schema, name: &str) -> Option<&'a str> {
    environment.get(&schema.variable(name)).filter(|text| !text.is_empty())
}

/// All faults of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<String>);

impl Faults {
    /// Lists the faults, one sentence each.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("one setting cannot be used:")?,
            count => write!(f, "{count} settings cannot be used:")?,
        }
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_carries_beside_a_place_is_hidden() {
        for (text, shown) in [
            ("https://ana:secret@id.example/keys", "https://********@id.example/keys"),
            ("https://id.example/keys?key=secret#x", "https://id.example/keys?********"),
            ("http://secret@[::1]:8080", "http://********@[::1]:8080"),
            ("https://a.example,https://b:c@d", "https://a.example,https://********@d"),
            ("turn:relay?transport=udp", "turn:relay?transport=udp"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
