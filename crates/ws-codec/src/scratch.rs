//! The buffers of a thread, lent to whichever of its connections is at work.

use std::cell::RefCell;

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Buffers that a thread keeps for writing; more than one only while writes wait.
const KEPT: usize = 4;
/// A buffer that has grown beyond this is not kept, in bytes.
const LARGE: usize = 64 * 1024;

thread_local! {
    static READING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
    static WRITING: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Does something with the reading buffer of this thread.
pub(crate) fn reading<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    READING.with_borrow_mut(|buffer| work(buffer))
}

/// Borrows an empty buffer to write into.
pub(crate) fn borrow() -> Vec<u8> {
    WRITING.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a buffer back.
pub(crate) fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    WRITING.with_borrow_mut(|kept| {
        if kept.len() < KEPT && buffer.capacity() <= LARGE {
            kept.push(buffer);
        }
    });
}
