//! What can go wrong while measuring.

use std::io;
use std::path::PathBuf;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The operating system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A program is not there, or does not run.
    #[error("{0} cannot be started: {1}")]
    Missing(String, io::Error),
    /// It did not say where it listens.
    #[error("{0} ended, or said nothing, before it was ready")]
    NotReady(String),
    /// A client and its server do not understand each other.
    #[error("a client of {0} was told: {1}")]
    Refused(&'static str, String),
    /// A connection ended.
    #[error("a connection ended: {0}")]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// It took too long.
    #[error("{0} took longer than it may")]
    TooLong(&'static str),
    /// Nothing was delivered.
    #[error("{0} delivered nothing: there is nothing to divide by")]
    Nothing(&'static str),
    /// A node or a connection takes more memory than it may.
    #[error("a node, or an idle connection, takes more memory than it may: see the lines above")]
    Grown,
    /// The plot cannot be drawn.
    #[error("the plot cannot be drawn: {0}")]
    Drawing(String),
    /// There is no place for the figures.
    #[error("{0} has no lines `<!-- {1}: begin -->` and `<!-- {1}: end -->`")]
    Markers(PathBuf, String),
}

impl From<tokio_tungstenite::tungstenite::Error> for Problem {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}
