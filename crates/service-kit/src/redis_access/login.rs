//! Who a service is at a Redis.

use std::path::PathBuf;

use crate::secrets::SecretText;
use crate::settings::{Reader, read_secret_line};

/// A user and its password; both are of any characters.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// `None`: the user `default`.
    pub username: Option<String>,
    pub(super) password: Option<SecretText>,
    /// Where the password comes from, if it is from a file of its own.
    pub(super) password_file: Option<PathBuf>,
}

impl Login {
    /// Returns the password. One of a file is read again, since it may have been changed; a file that cannot be read
    /// leaves the last one.
    #[must_use]
    pub fn password(&self) -> Option<SecretText> {
        let read = self.password_file.as_deref().and_then(|file| read_secret_line(file).ok());
        read.or_else(|| self.password.clone())
    }

    /// Tells whether there is a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Takes what is set besides the URL.
    pub(super) fn replace(&mut self, reader: &mut Reader<'_>, username: &str, password: &str) {
        if let Some(username) = reader.optional_text(username) {
            self.username = Some(username);
        }
        if let Some(text) = reader.secret_line(password) {
            self.password = Some(text);
            self.password_file = reader.secret_file(password);
        }
    }
}
