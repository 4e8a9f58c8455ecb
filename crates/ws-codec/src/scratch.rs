//! The buffers of a thread, lent to whichever of its connections is at work.

#![expect(
    clippy::vec_box,
    clippy::unnecessary_box_returns,
    reason = "they are lent as boxes, so that an idle connection has one word for each"
)]

use std::cell::RefCell;

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Buffers that a thread keeps for writing; more than one only while writes wait.
const KEPT: usize = 4;
/// A buffer that has grown beyond this is not kept, in bytes.
const LARGE: usize = 64 * 1024;

/// Bytes that are worked off from the front.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    /// How many of them are done with.
    pub(crate) done: usize,
}

thread_local! {
    static READING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
    static WRITING: RefCell<Vec<Box<Part>>> = const { RefCell::new(Vec::new()) };
}

/// Does something with the reading buffer of this thread.
pub(crate) fn reading<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    READING.with_borrow_mut(|buffer| work(buffer))
}

/// Borrows an empty buffer to write into.
pub(crate) fn borrow() -> Box<Part> {
    WRITING.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a buffer back.
pub(crate) fn give_back(mut buffer: Box<Part>) {
    buffer.bytes.clear();
    buffer.done = 0;
    WRITING.with_borrow_mut(|kept| {
        if kept.len() < KEPT && buffer.bytes.capacity() <= LARGE {
            kept.push(buffer);
        }
    });
}
