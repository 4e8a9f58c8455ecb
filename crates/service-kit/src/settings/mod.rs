//! Settings, declared once and read from flags, the environment, a TOML file and defaults.
//!
//! A service lists its settings in a [`Schema`]. From a name such as `log_age` follow the flag
//! `--log-age`, the variable `SIGNAL_NODE_LOG_AGE` and the key `log_age` of the file, at its top or
//! in the table of its group. Flags win over variables, variables over the file, the file over
//! the default. A secret has no flag that takes its value, since a process list shows it: it comes
//! from the variable, from a file named by `…_FILE` or `--…-file`, or from the TOML file.
//!
//! Everything wrong is reported at once and says where it came from:
//! `SIGNAL_NODE_GRACE="abc" (environment) is not a duration: write 20s or 500ms`.

mod environment;
mod file;
mod reader;
mod resolved;
mod sample;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command};

use crate::lifecycle::Exit;

pub use environment::Environment;
pub use reader::{Reader, read_secret_line};
pub use resolved::{Faults, Origin, Resolved};
pub use values::{Rate, parse_duration, parse_size};

/// The settings of one program.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Name of the program, such as `signal-node`.
    pub program: &'static str,
    /// One sentence on the purpose of the program.
    pub about: &'static str,
    /// Prefix of the variables, without the last underscore: `SIGNAL_NODE`.
    pub prefix: &'static str,
    /// Shown below the help: commands to copy.
    pub examples: &'static str,
    /// Every setting; each name once.
    pub settings: &'static [Setting],
    /// Lists of tables, such as `[[pools]]`, which only the file can contain.
    pub tables: &'static [&'static str],
}

/// The declaration of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// In lower case with underscores: `log_age`.
    pub name: &'static str,
    /// Heading in the help and table in the file: `rooms`.
    pub group: &'static str,
    /// Placeholder of the value in the help: `DURATION`.
    pub value: &'static str,
    /// The default, as an operator would write it.
    pub default: Option<&'static str>,
    /// Explanation in one or two sentences.
    pub help: &'static str,
    /// Whether the value may be shown.
    pub kind: Kind,
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May appear on a command line and in messages.
    Plain,
    /// Never shown; may come from a file of its own.
    Secret,
}

impl Setting {
    /// Declares a plain setting.
    #[must_use]
    pub const fn plain(
        name: &'static str,
        group: &'static str,
        value: &'static str,
        default: Option<&'static str>,
        help: &'static str,
    ) -> Self {
        Self { name, group, value, default, help, kind: Kind::Plain }
    }

    /// Declares a secret.
    #[must_use]
    pub const fn secret(
        name: &'static str,
        group: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Self { name, group, value, default: None, help, kind: Kind::Secret }
    }

    /// The long flag without dashes; the flag of a secret names a file.
    fn flag(&self) -> String {
        let flag = self.name.replace('_', "-");
        match self.kind {
            Kind::Plain => flag,
            Kind::Secret => flag + "-file",
        }
    }

    fn file_name(&self) -> String {
        format!("{}_file", self.name)
    }
}

impl Schema {
    /// Builds the command: one global flag per setting, grouped, with variable and default.
    ///
    /// The program adds its subcommands. The flags work before and after a subcommand.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(self.program)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .after_help(self.examples)
            .arg(self.config_arg())
            .args(self.settings.iter().map(|setting| self.arg(setting)))
    }

    /// Parses a command line. After `--help` or a usage error, which this function prints, the
    /// process should end.
    ///
    /// # Errors
    /// Exit code 0 after help and version, 64 after a usage error.
    pub fn parse(
        command: Command,
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<ArgMatches, ExitCode> {
        command.try_get_matches_from(arguments).map_err(|error| {
            // Standard error is closed: there is nowhere to report it.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            if asked { ExitCode::SUCCESS } else { Exit::Unusable.into() }
        })
    }

    /// Layers command line, environment, file and defaults; [`Reader::finish`] reports the faults.
    #[must_use]
    pub fn resolve(&self, matches: &ArgMatches, environment: &Environment) -> Resolved {
        Resolved::layer(*self, matches, environment)
    }

    fn variable(&self, name: &str) -> String {
        format!("{}_{}", self.prefix, name.to_uppercase())
    }

    fn config_arg(&self) -> Arg {
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .global(true)
            .help(format!("Reads settings from a TOML file [env: {}]", self.variable("config")))
    }

    fn arg(&self, setting: &Setting) -> Arg {
        let (variable, value) = match setting.kind {
            Kind::Plain => (self.variable(setting.name), setting.value),
            Kind::Secret => {
                let variable = self.variable(setting.name);
                (format!("{variable} or {variable}_FILE"), "FILE")
            }
        };
        let default = setting.default.map(|d| format!(" [default: {d}]")).unwrap_or_default();
        Arg::new(setting.name)
            .long(setting.flag())
            .value_name(value)
            .help(format!("{} [env: {variable}]{default}", setting.help))
            .help_heading(heading(setting.group))
            .global(true)
    }
}

/// Capitalises a group: `rooms` becomes `Rooms`.
fn heading(group: &str) -> String {
    let mut letters = group.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
