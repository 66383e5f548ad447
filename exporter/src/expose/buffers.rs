//! Reused memory for answers: bodies and compressor state go back to where they came from once sent.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Kept for reuse: so many, none of them larger than this many bytes.
const KEPT: usize = 4;
const KEPT_SIZE: usize = 1 << 20;

/// Spare things of one sort.
#[derive(Debug)]
pub struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Pool(Mutex::new(Vec::new()))
    }
}

impl<T> Pool<T> {
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
    /// Keeps `spare` unless there are enough.
    pub fn give(&self, spare: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(spare);
        }
    }
}

/// A buffer that returns to its pool when the last reader is done with it.
struct Borrowed {
    buffer: Vec<u8>,
    pool: Arc<Pool<Vec<u8>>>,
}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.buffer.capacity() <= KEPT_SIZE {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            self.pool.give(buffer);
        }
    }
}

/// The filled buffer as a body.
pub fn body(buffer: Vec<u8>, pool: &Arc<Pool<Vec<u8>>>) -> Bytes {
    Bytes::from_owner(Borrowed { buffer, pool: Arc::clone(pool) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_empty_with_its_memory() {
        let pool = Arc::new(Pool::default());
        let body = body(b"hello".repeat(100), &pool);
        let copy = body.clone();
        drop(body);
        assert!(pool.take().is_none());
        drop(copy);
        let spare = pool.take().unwrap();
        assert!(spare.is_empty() && spare.capacity() >= 500);
    }

    #[test]
    fn giants_and_crowds_are_not_kept() {
        let pool = Arc::new(Pool::default());
        drop(body(Vec::with_capacity(KEPT_SIZE + 1), &pool));
        assert!(pool.take().is_none());
        for _ in 0..10 {
            pool.give(Vec::new());
        }
        assert_eq!(std::iter::from_fn(|| pool.take()).count(), KEPT);
    }
}
