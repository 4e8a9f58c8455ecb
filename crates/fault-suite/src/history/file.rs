//! Histories as files of JSON lines: the settings first, then one event a line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use super::History;

/// Why a history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system says no.
    #[error("the history file cannot be used: {0}")]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the history does not parse: {source}")]
    Parse {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl History {
    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), HistoryError> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, &self.settings).map_err(io::Error::from)?;
        for event in &self.events {
            file.write_all(b"\n")?;
            serde_json::to_writer(&mut file, event).map_err(io::Error::from)?;
        }
        file.write_all(b"\n")?;
        Ok(file.flush()?)
    }

    /// Reads one back from a file.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        Self::parse(BufReader::new(File::open(path)?).lines())
    }

    /// Reads one from its lines.
    ///
    /// # Errors
    /// When a line holds something else.
    pub fn parse(
        mut lines: impl Iterator<Item = io::Result<String>>,
    ) -> Result<Self, HistoryError> {
        let first = lines.next().transpose()?.unwrap_or_default();
        let at = |line| move |source| HistoryError::Parse { line, source };
        let settings = serde_json::from_str(&first).map_err(at(1))?;
        let events = lines
            .enumerate()
            .map(|(index, line)| serde_json::from_str(&line?).map_err(at(index + 2)));
        Ok(Self { settings, events: events.collect::<Result<_, _>>()? })
    }
}
