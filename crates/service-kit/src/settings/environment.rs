//! Access to the environment, which is read once.

use std::collections::BTreeMap;
use std::env;

use super::suggest::did_you_mean;
use super::{Kind, Schema};

/// A copy of the environment; tests create their own.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Copies the environment of this process; nothing else reads it.
    ///
    /// Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn from_process() -> Self {
        env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect()
    }

    /// Returns the value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns a copy with a default for a variable, unless the variable or its `_FILE` is set.
    #[must_use]
    pub fn with_default(mut self, name: &str, value: impl Into<String>) -> Self {
        if !self.0.contains_key(&format!("{name}_FILE")) {
            self.0.entry(name.to_owned()).or_insert_with(|| value.into());
        }
        self
    }

    /// Reports every variable with the schema's prefix that is not a setting.
    pub(super) fn faults(&self, schema: &Schema) -> Vec<String> {
        let known = known_variables(schema);
        let prefix = format!("{}_", schema.prefix);
        let ours = self.0.keys().filter(|name| name.starts_with(&prefix));
        ours.filter(|name| !known.contains(name) && !is_service_link(name, &prefix))
            .map(|name| {
                format!("{name} (environment) is not a setting{}", did_you_mean(name, &known))
            })
            .collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Environment {
    fn from(variables: [(K, V); N]) -> Self {
        variables.into_iter().collect()
    }
}

fn known_variables(schema: &Schema) -> Vec<String> {
    let mut known = vec![schema.variable("config")];
    for setting in schema.settings {
        known.push(schema.variable(setting.name));
        if setting.kind == Kind::Secret {
            known.push(schema.variable(&setting.file_name()));
        }
    }
    known
}

/// Recognises the variables that Kubernetes adds to every pod for a Service with the program's
/// name: `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTP`, `…_PORT`, `…_PORT_8080_TCP_ADDR`.
fn is_service_link(name: &str, prefix: &str) -> bool {
    let rest = &name[prefix.len()..];
    let words: Vec<_> = rest.split('_').collect();
    let pairs = words.windows(2);
    rest.ends_with("SERVICE_HOST")
        || words.last() == Some(&"PORT")
        || pairs.clone().any(|pair| pair == ["SERVICE", "PORT"])
        || pairs.clone().any(|pair| pair[0] == "PORT" && pair[1].parse::<u16>().is_ok())
}
