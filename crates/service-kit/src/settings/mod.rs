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
pub use reader::Reader;
pub use resolved::{Faults, Origin, Resolved};
pub use values::{Rate, parse_duration, parse_size};

/// The settings of one service.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The name of the program, `signal-node`.
    pub program: &'static str,
    /// One sentence on what the program is for.
    pub about: &'static str,
    /// What its variables begin with, without the last underscore: `SIGNAL_NODE`.
    pub prefix: &'static str,
    /// Shown after the help: commands to copy.
    pub examples: &'static str,
    /// Every setting; each name once.
    pub settings: &'static [Setting],
    /// Lists of things with several settings each, such as `[[pools]]`: only the file has them.
    pub tables: &'static [&'static str],
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in lower case with underscores: `log_age`.
    pub name: &'static str,
    /// The heading it has in the help and the table it may stand in: `rooms`.
    pub group: &'static str,
    /// What the help calls its value: `DURATION`.
    pub value: &'static str,
    /// Its default, as an operator would write it.
    pub default: Option<&'static str>,
    /// What it does, in one or two sentences.
    pub help: &'static str,
    /// Whether it may be shown.
    pub kind: Kind,
}

/// Whether the value of a setting may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may appear on a command line and in messages.
    Plain,
    /// It appears nowhere, and may come from a file of its own.
    Secret,
}

impl Setting {
    /// Declares a setting that may appear on a command line.
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

    /// The long flag without its dashes; a secret's flag names a file.
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
    /// Builds the command: one global flag per setting, grouped, with variable and default shown.
    ///
    /// The service adds its subcommands to it. The flags work before and after a subcommand.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(self.program)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .after_help(self.examples)
            .arg(self.config_arg())
            .args(self.settings.iter().map(|setting| self.arg(setting)))
    }

    /// Parses a command line, or says how the process shall end: after `--help` or a usage error,
    /// which has been printed then.
    ///
    /// # Errors
    /// Exit code 0 after help and version, 64 after anything unusable.
    pub fn parse(
        command: Command,
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<ArgMatches, ExitCode> {
        command.try_get_matches_from(arguments).map_err(|error| {
            // Nobody is left to tell when the terminal itself is gone.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => Exit::Unusable.into(),
            }
        })
    }

    /// Layers command line, environment, file and defaults; faults are kept until
    /// [`Reader::finish`].
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

/// Writes a group as a heading: `rooms` becomes `Rooms`.
fn heading(group: &str) -> String {
    let mut letters = group.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
