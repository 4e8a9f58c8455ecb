//! Client of coturn's admin console (`cli-port`), used to close allocations: text over TCP, with a
//! prompt after each response.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound on one response: several thousand sessions.
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Location of a relay's console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// `cli-ip` and `cli-port`. Must be reachable from the admin network only: the protocol is not
    /// encrypted.
    pub address: SocketAddr,
    /// File with the value of `cli-password`.
    pub password_file: PathBuf,
}

/// Errors of the console.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The password file cannot be read.
    #[error("{}: {source}", path.display())]
    Password {
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The connection failed or broke.
    #[error("the console does not answer: {0}")]
    Io(#[from] std::io::Error),
    /// Wrong password, or not a console of coturn.
    #[error("the console rejected the login: check cli-password")]
    LoginFailed,
}

struct Console {
    stream: TcpStream,
}

impl Console {
    async fn open(settings: &ConsoleSettings) -> Result<Self, ConsoleError> {
        let password = read_password(&settings.password_file)?;
        let stream = with_timeout(TcpStream::connect(settings.address)).await?;
        let mut console = Self { stream };
        console.read_until(|text| text.trim_ascii_end().ends_with(b"Enter password:")).await?;
        console.write(&password).await?;
        console.read_until(is_prompt).await.map_err(|_| ConsoleError::LoginFailed)?;
        Ok(console)
    }

    async fn run_command(&mut self, command: &str) -> Result<String, ConsoleError> {
        self.write(command).await?;
        self.read_until(is_prompt).await
    }

    async fn write(&mut self, line: &str) -> Result<(), ConsoleError> {
        Ok(with_timeout(self.stream.write_all(format!("{line}\r\n").as_bytes())).await?)
    }

    async fn read_until(&mut self, is_end: fn(&[u8]) -> bool) -> Result<String, ConsoleError> {
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        while !is_end(&text) {
            let read = with_timeout(self.stream.read(&mut buffer)).await?;
            if read == 0 || text.len() > MAX_RESPONSE_BYTES {
                return Err(ConsoleError::LoginFailed);
            }
            text.extend(&buffer[..read]);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Returns whether a text ends with the prompt on its own line; usernames in a listing contain `>`
/// too.
fn is_prompt(text: &[u8]) -> bool {
    text == b"> " || text.ends_with(b"\n> ")
}

/// Closes every allocation whose username ends with `:<pseudonym>`; returns their number.
///
/// # Errors
/// [`ConsoleError`]; some may have been closed by then.
pub async fn end_allocations(
    settings: &ConsoleSettings,
    pseudonym: &str,
) -> Result<usize, ConsoleError> {
    let mut console = Console::open(settings).await?;
    let listed = console.run_command("ps").await?;
    let sessions = session_ids(&listed, pseudonym);
    for session in &sessions {
        console.run_command(&format!("cs {session}")).await?;
    }
    Ok(sessions.len())
}

/// Finds the session ids of a pseudonym in the output of `ps`: `1) id=001000000000000007, user
/// <1700000600:ana>:`.
fn session_ids(listed: &str, pseudonym: &str) -> Vec<String> {
    let of = format!(":{pseudonym}>");
    let session = |line: &str| {
        let (_, rest) = line.split_once("id=")?;
        let (id, user) = rest.split_once(',')?;
        (user.contains(&of) && id.bytes().all(|b| b.is_ascii_digit())).then(|| id.to_owned())
    };
    listed.lines().filter_map(session).collect()
}

fn read_password(path: &Path) -> Result<String, ConsoleError> {
    let password_error = |source| ConsoleError::Password { path: path.to_owned(), source };
    Ok(std::fs::read_to_string(path).map_err(password_error)?.trim().to_owned())
}

async fn with_timeout<T>(answer: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    timeout(RESPONSE_TIMEOUT, answer).await.map_err(|_| std::io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_subject_are_found_and_of_no_other() {
        let listed = "\n    1) id=001000000000000007, user <1700000600:ana>:\n      realm: r\n    \
                      2) id=001000000000000008, user <1700000600:banana>:\n    \
                      3) id=000000000000000009, user <1700000700:ana>:\n  Total sessions: 3\n";
        assert_eq!(session_ids(listed, "ana"), ["001000000000000007", "000000000000000009"]);
        assert_eq!(session_ids(listed, "nobody"), [""; 0]);
    }
}
