//! Small files that are reloaded when they change.

use std::fmt;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

/// Interval between checks of a file.
///
/// One `stat` per second costs nothing, and no orchestrator mounts a new secret faster.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A value parsed from a file, kept current.
///
/// If the file becomes unreadable or invalid, the last good value stays and one warning per change
/// is logged: a half-written secret must not stop a running service.
pub(crate) struct WatchedFile<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, String>,
    state: Mutex<CachedValue<T>>,
}

struct CachedValue<T> {
    current: Arc<T>,
    stamp: Option<FileStamp>,
    checked_at: Instant,
}

/// Detects a change without reading the file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl From<Metadata> for FileStamp {
    fn from(metadata: Metadata) -> Self {
        Self { modified: metadata.modified().ok(), length: metadata.len() }
    }
}

impl<T> WatchedFile<T> {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// The reason without the content, which may be a secret.
    pub(crate) fn open(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<Self, String> {
        let stamp = stamp(path);
        let current = Arc::new(read(path, parse)?);
        let state = Mutex::new(CachedValue { current, stamp, checked_at: Instant::now() });
        Ok(Self { path: path.to_owned(), parse, state })
    }

    /// Returns the value, after a check if the last one is older than [`CHECK_EVERY`].
    pub(crate) fn current(&self) -> Arc<T> {
        self.current_at(Instant::now())
    }

    fn current_at(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(state.checked_at) >= CHECK_EVERY {
            state.checked_at = now;
            self.reload_if_changed(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn reload_if_changed(&self, state: &mut CachedValue<T>) {
        let found = stamp(&self.path);
        if found == state.stamp {
            return;
        }
        state.stamp = found;
        match read(&self.path, self.parse) {
            Ok(value) => {
                info!(file = %self.path.display(), "reloaded {}", self.path.display());
                state.current = Arc::new(value);
            }
            Err(reason) => {
                warn!(file = %self.path.display(), "cannot reload the file, keeping its last good \
                    content: {reason}");
            }
        }
    }
}

/// Prints the path only: the content may be a secret.
impl<T> fmt::Debug for WatchedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    fs::metadata(path).ok().map(FileStamp::from)
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
        let watched = WatchedFile::open(&path, parse).unwrap();
        let opened = Instant::now();

        fs::write(&path, "22").unwrap();
        assert_eq!(*watched.current_at(opened), 1, "not looked at before its time");
        assert_eq!(*watched.current_at(opened + CHECK_EVERY), 22);
    }

    #[test]
    fn bad_or_missing_content_keeps_the_last_good_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        fs::write(&path, "1").unwrap();
        let watched = WatchedFile::open(&path, parse).unwrap();
        let mut now = Instant::now();

        fs::write(&path, "nonsense").unwrap();
        now += CHECK_EVERY;
        assert_eq!(*watched.current_at(now), 1);
        fs::remove_file(&path).unwrap();
        now += CHECK_EVERY;
        assert_eq!(*watched.current_at(now), 1);
        fs::write(&path, "333").unwrap();
        now += CHECK_EVERY;
        assert_eq!(*watched.current_at(now), 333);
    }

    #[test]
    fn a_file_that_cannot_be_used_at_start_is_an_error_with_its_path() {
        let error = WatchedFile::open(Path::new("/nowhere/at/all"), parse).unwrap_err();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
