//! Listeners on a TCP port or a Unix socket file.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::bounds::ConnectionBounds;
use super::tls::Tls;
use crate::settings::{Kind, Setting};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080` or `unix:/run/turn-cred.sock`.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP port; for port 0 the system chooses one.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err("write unix:PATH with a path"),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.replacen("localhost:", "127.0.0.1:", 1).parse().map(Self::Tcp).map_err(
                |_| "write ADDRESS:PORT such as 127.0.0.1:8080 or [::]:8080, or unix:PATH",
            ),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound listener. Dropping it removes its socket file.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: ListenAddr,
    tls: Option<Tls>,
    bounds: ConnectionBounds,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Setting of the mode of socket files, for a service's schema.
pub const SOCKET_MODE: Setting = Setting {
    name: "socket_mode",
    group: "network",
    value: "MODE",
    default: Some("600"),
    help: "Mode of socket files: 660 lets a proxy in whose user is in the group",
    kind: Kind::Plain,
};

/// The mode of a socket file: who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// Tells whether every user of this machine may connect.
    #[must_use]
    pub fn is_open_to_all(self) -> bool {
        self.0 & 0o002 != 0
    }
}

impl FromStr for SocketMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "write three octal digits, such as 660 for owner and group";
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).map_err(|_| WANTED)?;
        // A mode that keeps its owner out is a mistake.
        if digits.len() == 3 && mode & 0o600 == 0o600 { Ok(Self(mode)) } else { Err(WANTED) }
    }
}

#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Binds an address.
    ///
    /// A socket file gets mode 0600. A stale one, left by a crash, is replaced.
    ///
    /// # Errors
    /// When the address is in use or not local, or the path holds something other than a stale
    /// socket. The text contains the address.
    pub async fn bind(address: &ListenAddr) -> io::Result<Self> {
        let bound = match address {
            ListenAddr::Tcp(address) => bind_tcp(*address).await,
            ListenAddr::Unix(path) => bind_unix(path),
        };
        bound.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })
    }

    /// Enables TLS on a TCP listener if `tls` is present.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// Gives the socket file another mode than 0600, so that a proxy of another user can connect; nothing over TCP.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn with_mode(self, mode: SocketMode) -> io::Result<Self> {
        if let ListenAddr::Unix(path) = &self.address {
            fs::set_permissions(path, Permissions::from_mode(mode.0))?;
        }
        Ok(self)
    }

    /// Bounds its connections.
    #[must_use]
    pub fn with_bounds(mut self, bounds: ConnectionBounds) -> Self {
        self.bounds = bounds;
        self
    }

    pub(super) fn bounds(&self) -> &ConnectionBounds {
        &self.bounds
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The bound address; port 0 is replaced by the port the system chose.
    #[must_use]
    pub fn address(&self) -> &ListenAddr {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Signals are small and latency matters. An error here means that the peer is gone,
                // which the next read reports.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, peer))
            }
            Socket::Unix(listener) => listener.accept().await.map(|(s, _)| Accepted::Unix(s)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let ListenAddr::Unix(path) = &self.address {
            // An error means that the file is gone already.
            let _ = fs::remove_file(path);
        }
    }
}

async fn bind_tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = TcpListener::bind(address).await?;
    let address = ListenAddr::Tcp(listener.local_addr()?);
    Ok(Listener {
        socket: Socket::Tcp(listener),
        address,
        tls: None,
        bounds: ConnectionBounds::default(),
    })
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(Listener {
        socket: Socket::Unix(listener),
        address: ListenAddr::Unix(path.to_owned()),
        tls: None,
        bounds: ConnectionBounds::default(),
    })
}

/// Removes a socket file that refuses connections. A file with a live listener stays, so that
/// `bind` reports it.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && StdUnixStream::connect(path).is_err_and(refused) {
        fs::remove_file(path)?;
    }
    Ok(())
}
