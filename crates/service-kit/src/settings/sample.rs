//! A configuration file that names every setting.

use super::{Kind, Schema, Setting};

/// Columns of a comment.
const WIDTH: usize = 98;

impl Schema {
    /// Returns a TOML file with every setting as a comment: its help, its flag and variable, and its default, or a placeholder in
    /// capitals where it has none.
    #[must_use]
    pub fn sample(&self) -> String {
        let mut groups: Vec<&str> = Vec::new();
        for setting in self.settings {
            if !groups.contains(&setting.group) {
                groups.push(setting.group);
            }
        }
        let tables = self.tables.iter().map(|name| format!(" [[{name}]] is a list of tables."));
        let head = format!(
            "Every setting of {} with its default. Flags win over variables, variables over this file.{}",
            self.program,
            tables.collect::<String>()
        );
        comment(&head)
            + &groups.into_iter().map(|group| self.sample_group(group)).collect::<String>()
    }

    fn sample_group(&self, group: &str) -> String {
        let settings = self.settings.iter().filter(|setting| setting.group == group);
        format!("\n[{group}]\n")
            + &settings.map(|setting| self.sample_setting(setting)).collect::<String>()
    }

    fn sample_setting(&self, setting: &Setting) -> String {
        let variable = self.variable(setting.name);
        let (key, variable) = match setting.kind {
            Kind::Plain => (setting.name.to_owned(), variable),
            Kind::Secret => (setting.file_name(), format!("{variable}_FILE or {variable}")),
        };
        let value = match (setting.kind, setting.default) {
            (Kind::Plain, Some(default)) => default,
            (Kind::Plain, None) => setting.value,
            (Kind::Secret, _) => "FILE",
        };
        let names = format!("--{}, {variable}", setting.flag());
        format!("\n{}{}# {key} = {value:?}\n", comment(setting.help), format_args!("# {names}\n"))
    }
}

/// Wraps a text into lines of comment.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.len() + 1 + word.len() > WIDTH) {
            lines.push(String::from("#"));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
