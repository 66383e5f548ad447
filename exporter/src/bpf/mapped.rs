//! Memory of a BPF array, mapped into this process.
//!
//! The kernel rounds an array's elements up to eight bytes and lays them out one after the other. A mapping keeps its
//! map alive, so no file descriptor has to.

use std::ffi::c_void;
use std::mem::size_of;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::abi::Shared;

/// An array of `T` that the kernel writes.
pub struct Mapped<T> {
    at: NonNull<T>,
    len: usize,
}

// SAFETY: `Shared` types are atomics, so that any thread may read and write them at any time.
unsafe impl<T: Shared> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapped<T> {}

impl<T: Shared> Mapped<T> {
    /// Maps an array of `len` elements for reading. A store into it would fault.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_only(array: impl AsFd, len: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours, and the kernel refuses
        // a length beyond the array.
        let at = unsafe { mmap(null_mut(), size::<T>(len), ProtFlags::READ, MapFlags::SHARED, array, 0) }?;
        Self::new(at, len)
    }

    /// Zeroed memory of this process alone: an array without a kernel.
    ///
    /// # Errors
    /// The kernel's.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as above.
        let at = unsafe { mmap_anonymous(null_mut(), size::<T>(len), access, MapFlags::PRIVATE) }?;
        Self::new(at, len)
    }

    fn new(at: *mut c_void, len: usize) -> io::Result<Self> {
        let at = NonNull::new(at.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Mapped { at, len })
    }
}

/// Whole pages that hold `len` elements: what the kernel allocates and maps.
pub fn size<T>(len: usize) -> usize {
    (len * size_of::<T>().next_multiple_of(8)).next_multiple_of(rustix::param::page_size())
}

impl<T: Shared> Deref for Mapped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: mapped for `len` elements until dropped, page-aligned, and every bit pattern is a `T`.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length; the slices given out borrow from self. Failure leaves it mapped.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), size::<T>(self.len)) };
    }
}
