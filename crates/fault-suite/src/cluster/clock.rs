//! A wall clock for `redis-server` that can be set, preloaded into the process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library; the tests of the node preload the same.
const SOURCE: &str = include_str!("../../../../signal-node/tests/it/support/clock_step.c");

/// How far the clock of every `redis-server` of a cluster is off.
#[derive(Clone, Debug)]
pub struct SteppedClock {
    library: PathBuf,
    file: PathBuf,
    seconds: i64,
}

impl SteppedClock {
    /// Builds the library in a folder; the clock is right.
    ///
    /// # Errors
    /// When there is no C compiler, or no place for its output.
    pub fn build(folder: &Path) -> io::Result<Self> {
        let (source, library) = (folder.join("clock_step.c"), folder.join("clock_step.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
        if !compiler.status()?.success() {
            return Err(io::Error::other(
                "cc cannot build the library that sets the clock of Redis",
            ));
        }
        let mut clock = Self { library, file: folder.join("clock_step"), seconds: 0 };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets the clock by so many seconds from where it is.
    ///
    /// # Errors
    /// When the file that says so cannot be written.
    pub fn step(&mut self, seconds: i64) -> io::Result<()> {
        self.set(self.seconds + seconds)
    }

    fn set(&mut self, seconds: i64) -> io::Result<()> {
        // Renamed into place, since an empty file would be a step to the right time and back.
        let next = self.file.with_extension("next");
        std::fs::write(&next, seconds.to_string())?;
        std::fs::rename(&next, &self.file)?;
        self.seconds = seconds;
        Ok(())
    }

    /// What a `redis-server` needs in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("CLOCK_STEP", &self.file)]
    }
}
