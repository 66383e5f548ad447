//! A FUSE mount whose daemon never answers: every statfs on it hangs.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The mount; on drop it is aborted, so that whoever hangs is let go.
pub struct HangingMount {
    path: PathBuf,
    device: Option<File>,
}

impl HangingMount {
    /// Mounts on `path`, an existing folder.
    ///
    /// # Errors
    /// When this host has no FUSE or the caller may not mount.
    pub fn new(path: &Path) -> std::io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", device.as_raw_fd());
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).expect("ends with the only NUL");
        mount("hang", path, "fuse", MountFlags::empty(), options)?;
        Ok(HangingMount { path: path.into(), device: Some(device) })
    }
}

impl Drop for HangingMount {
    fn drop(&mut self) {
        // Closing the device fails every request that waits.
        self.device.take();
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
