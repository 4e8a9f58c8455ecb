//! A real `turn-cred-service`, which nodes ask for ICE servers over a socket file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::time::timeout;

use super::node::listening;
use super::process::{PATIENCE, Process, ProcessError};
use super::{SECRET, log_file};

/// Lets its holder ask for credentials as a server does.
const API_KEY: &str = "fault-suite-fault-suite-api-key-of-a-server";

/// A running service; it ends with this value.
pub struct CredentialService {
    public: SocketAddr,
    admin: SocketAddr,
    socket: PathBuf,
    process: Process,
}

impl CredentialService {
    /// Starts one whose program lies beside that of the nodes. Its only relay is not there, and it does not look for it.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(node: &Path, folder: &Path) -> Result<Self, ProcessError> {
        let (name, socket) = ("credentials", folder.join("credentials.sock"));
        let mut command = Command::new(node.with_file_name("turn-cred-service"));
        let variables = [
            ("LISTEN", "127.0.0.1:0"),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
            ("INTERNAL_LISTEN", &format!("unix:{}", socket.display())),
            ("URIS", "turn:127.0.0.1:9"),
            ("PROBE_EVERY", "0s"),
            ("SECRET", SECRET),
            ("JWT_SECRET", SECRET),
            ("API_KEYS", API_KEY),
            ("LOG", "warn"),
        ];
        let variables = variables.map(|(name, value)| (format!("TURN_CRED_{name}"), value));
        command.env_clear().envs(variables);
        let log = log_file(folder, name);
        let hint = "run `cargo build -p turn-cred-service` with the same profile";
        let mut process = Process::spawn(name, &mut command, &log, hint)?;
        let told = async { listening(process.stdout()?).await };
        match timeout(PATIENCE, told).await {
            Ok(Some(told)) => Ok(Self { public: told.public, admin: told.admin, socket, process }),
            _ => Err(ProcessError::NotReady(name.to_owned(), log)),
        }
    }

    /// What nodes have as `CREDENTIALS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Where it serves holders of tokens and keys.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where it tells of itself.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The resident memory of the process, in bytes.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        self.process.resident()
    }
}
