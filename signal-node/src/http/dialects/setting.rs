//! The settings of dialects: which of them are on, and where, and what is served beside them.

use bytes::Bytes;
use service_kit::settings::Reader;
use signal_dialects::DialectName;

use super::peerjs;

/// The dialects that are on, each with its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialects(Vec<(DialectName, String)>);

/// Paths that are taken, and everything below them.
const TAKEN: [&str; 3] = ["/v1", "/demo", "/client"];

/// Reads which dialects are on, and the script of the client of Socket.IO, which pages load from a node.
pub(crate) fn read_dialects(r: &mut Reader<'_>) -> (Dialects, Option<Bytes>) {
    let dialects = Dialects::parse(&r.list("dialects")).unwrap_or_else(|what| {
        r.fault("dialects", what);
        Dialects::default()
    });
    let script = r.optional_text("socketio_client").map(std::fs::read).transpose();
    let script = script.unwrap_or_else(|error| {
        r.fault("socketio_client", format!("cannot be read: {error}"));
        None
    });
    (dialects, script.map(Bytes::from))
}

impl Dialects {
    /// Reads the words of the setting: `NAME` or `NAME=/PATH`.
    ///
    /// # Errors
    /// The first word that names no dialect, or a path that is of no use.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut dialects = Self::default();
        for word in words {
            let (name, path) = word.split_once('=').map_or((&**word, None), |(n, p)| (n, Some(p)));
            let known = DialectName::ALL.into_iter().find(|known| known.as_str() == name);
            let known = known.ok_or_else(|| unknown(name))?;
            let path = path.unwrap_or_else(|| default_path(known));
            check_path(known, path)?;
            let socket = socket_path(known, path);
            let is_taken = |(other, at)| other == known || socket_path(other, at) == socket;
            if dialects.iter().any(is_taken) {
                return Err(format!("{word:?} comes twice, or its path does: name each once"));
            }
            dialects.0.push((known, path.to_owned()));
        }
        Ok(dialects)
    }

    /// Returns every dialect that is on, with its path.
    pub fn iter(&self) -> impl Iterator<Item = (DialectName, &str)> {
        self.0.iter().map(|(name, path)| (*name, &**path))
    }
}

fn unknown(name: &str) -> String {
    let known = DialectName::ALL.map(DialectName::as_str).join(", ");
    format!("{name:?} is not a dialect: write some of {known}")
}

fn default_path(name: DialectName) -> &'static str {
    match name {
        DialectName::Topics => "/topics",
        DialectName::PeerJs => "/",
        DialectName::Matchbox => "/matchbox",
        DialectName::SocketIo => "/socket.io",
    }
}

/// Returns the path of the WebSocket.
fn socket_path(name: DialectName, path: &str) -> String {
    match name {
        DialectName::Topics | DialectName::Matchbox | DialectName::SocketIo => path.to_owned(),
        DialectName::PeerJs => peerjs::socket_path(path),
    }
}

fn check_path(name: DialectName, path: &str) -> Result<(), String> {
    let is_segment = |segment: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
        !segment.is_empty() && segment.chars().all(allowed) && !segment.starts_with('.')
    };
    let is_path = path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment));
    let is_base = name == DialectName::PeerJs && path == "/";
    if !is_path && !is_base {
        return Err(format!("{path:?} is not a path: write one such as /{}", name.as_str()));
    }
    let below = |taken: &str| path == taken || path.starts_with(&format!("{taken}/"));
    TAKEN.into_iter().find(|taken| below(taken)).map_or(Ok(()), |taken| {
        Err(format!("{path:?} is below {taken}, which the node has: write another path"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dialects, String> {
        Dialects::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_dialect_has_a_path_of_its_own_or_the_one_it_is_given() {
        let at = |text: &str| parse(text).unwrap().iter().next().map(|(_, path)| path.to_owned());
        assert_eq!(at("topics").unwrap(), "/topics");
        assert_eq!(at("topics=/y/signaling").unwrap(), "/y/signaling");
        assert_eq!(at("peerjs").unwrap(), "/");
        assert!(Dialects::parse(&[]).unwrap().iter().next().is_none(), "none is on by default");
    }

    #[test]
    fn what_is_no_dialect_or_no_path_is_refused_with_what_to_write() {
        for (text, part) in [
            ("easyrtc", "is not a dialect: write some of topics, peerjs, matchbox, socketio"),
            ("peerjs,topics=/peerjs", "comes twice"),
            ("peerjs=/v1", "is below /v1"),
            ("topics,topics=/other", "comes twice"),
            ("topics=", "is not a path"),
            ("topics=/", "is not a path"),
            ("topics=y", "is not a path"),
            ("topics=/{room}", "is not a path"),
            ("topics=/a//b", "is not a path"),
            ("topics=/../a", "is not a path"),
            ("topics=/v1/ws", "is below /v1"),
            ("topics=/demo", "is below /demo"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
