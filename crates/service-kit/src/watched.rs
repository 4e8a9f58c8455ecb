//! A small file that is read again when it changed.

use std::fmt;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

/// How often a file is looked at, at most.
///
/// One `stat` a second costs nothing and is faster than any orchestrator mounts a new secret.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A value parsed from a file, kept current.
///
/// A file that became unreadable or invalid keeps its last good value, and says so once per
/// change: a half-written secret must not stop a running service.
pub(crate) struct Watched<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, String>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// What differs between two versions of a file, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl From<Metadata> for Stamp {
    fn from(metadata: Metadata) -> Self {
        Self { modified: metadata.modified().ok(), length: metadata.len() }
    }
}

impl<T> Watched<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Says, without quoting the content, why the file cannot be used.
    pub(crate) fn open(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<Self, String> {
        let stamp = stamp(path);
        let current = Arc::new(read(path, parse)?);
        let state = Mutex::new(State { current, stamp, looked: Instant::now() });
        Ok(Self { path: path.to_owned(), parse, state })
    }

    /// Hands out the value as the file last had it.
    pub(crate) fn current(&self) -> Arc<T> {
        self.current_at(Instant::now())
    }

    fn current_at(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(state.looked) >= LOOK_EVERY {
            state.looked = now;
            self.look(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn look(&self, state: &mut State<T>) {
        let found = stamp(&self.path);
        if found == state.stamp {
            return;
        }
        state.stamp = found;
        match read(&self.path, self.parse) {
            Ok(value) => {
                info!(file = %self.path.display(), "read {} again", self.path.display());
                state.current = Arc::new(value);
            }
            Err(reason) => {
                warn!(file = %self.path.display(), "keeping the last good content: {reason}");
            }
        }
    }
}

/// Shows the path and nothing of the content.
impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("path", &self.path).finish_non_exhaustive()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(Stamp::from)
}

fn read<T>(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|reason| format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| "not a number".to_owned())
    }

    #[test]
    fn a_changed_file_is_read_again_after_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, parse).unwrap();
        let opened = Instant::now();

        fs::write(&path, "22").unwrap();
        assert_eq!(*watched.current_at(opened), 1, "not looked at before its time");
        assert_eq!(*watched.current_at(opened + LOOK_EVERY), 22);
    }

    #[test]
    fn bad_or_missing_content_keeps_the_last_good_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        fs::write(&path, "1").unwrap();
        let watched = Watched::open(&path, parse).unwrap();
        let mut now = Instant::now();

        fs::write(&path, "nonsense").unwrap();
        now += LOOK_EVERY;
        assert_eq!(*watched.current_at(now), 1);
        fs::remove_file(&path).unwrap();
        now += LOOK_EVERY;
        assert_eq!(*watched.current_at(now), 1);
        fs::write(&path, "333").unwrap();
        now += LOOK_EVERY;
        assert_eq!(*watched.current_at(now), 333);
    }

    #[test]
    fn a_file_that_cannot_be_used_at_start_is_an_error_with_its_path() {
        let error = Watched::open(Path::new("/nowhere/at/all"), parse).unwrap_err();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
