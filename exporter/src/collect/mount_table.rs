//! Which mounts are shown, under which labels, and how each is asked. Pure but for the call itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use rustix::fs::{StatFs, statfs};
use rustix::io::Errno;

use super::Error;
use super::fields::valid_utf8;
use super::filter::Filter;
use super::mounts;
use super::procfile::Text;
use super::watched::Question;

/// Most lines that are remembered for being none.
const MAX_FAULTS: usize = 8;

/// File systems whose statfs and whose directories on the way to a mount point wait for no device, server or daemon.
const LOCAL: [&[u8]; 14] = [
    b"ext2",
    b"ext3",
    b"ext4",
    b"xfs",
    b"btrfs",
    b"f2fs",
    b"tmpfs",
    b"ramfs",
    b"rootfs",
    b"devtmpfs",
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
];

/// Which mounts are shown, and where the host's are found.
pub struct Choice {
    pub rootfs: PathBuf,
    pub mountpoints: Filter,
    pub types: Filter,
}

/// What became of the table of mounts, as long as its text does not change.
#[derive(Default)]
pub struct Table {
    pub text: Vec<u8>,
    pub mounts: Vec<Mount>,
    /// One for each mount point.
    pub calls: Vec<Call>,
    /// Where in `calls` those are that may hang.
    pub far: Vec<usize>,
    /// Lines that are none, the first few.
    pub faults: Vec<String>,
}

/// Label values of a mount, and which call answers for it.
pub struct Mount {
    device: CompactString,
    mountpoint: CompactString,
    fstype: CompactString,
    pub major: CompactString,
    pub minor: CompactString,
    pub readonly: bool,
    pub call: usize,
}

/// statfs of a mount point.
#[derive(Clone)]
pub struct Call {
    path: Arc<Path>,
    device: (u32, u32),
    pub is_local: bool,
}

impl Question for Call {
    type Answer = Result<StatFs, Errno>;
    fn answer(&self) -> Self::Answer {
        statfs(&*self.path)
    }
    fn is(&self, other: &Self) -> bool {
        self.path == other.path
    }
    fn hangs_with(&self, other: &Self) -> bool {
        self.device == other.device || self.is(other)
    }
}

impl Table {
    /// # Errors
    /// When no line is one of a table of mounts.
    pub fn new(text: &Text, choice: &Choice) -> Result<Self, Error> {
        let mut table = Table { text: text.bytes.into(), ..Table::default() };
        let mut all = Vec::new();
        for line in text.lines() {
            match mounts::parse(line) {
                Some(mount) => all.push(mount),
                None if table.faults.len() < MAX_FAULTS => table.faults.push(text.offends(line, "is not a mount")),
                None => {}
            }
        }
        if all.is_empty() {
            return Err(text.failed(text.bytes, "has no mount"));
        }
        let far: Vec<&[u8]> =
            all.iter().filter(|m| !LOCAL.contains(&m.fstype)).map(|m| m.mountpoint.as_slice()).collect();
        for mount in &all {
            let is_local = !far.iter().any(|above| is_at_or_below(&mount.mountpoint, above));
            table.add(mount, is_local, choice);
        }
        table.far = (0..table.calls.len()).filter(|at| !table.calls[*at].is_local).collect();
        Ok(table)
    }

    fn add(&mut self, mount: &mounts::Mount, is_local: bool, choice: &Choice) {
        let inside = without_prefix(&mount.mountpoint, choice.rootfs.as_os_str().as_bytes());
        let (mountpoint, fstype) = (valid_utf8(inside), valid_utf8(mount.fstype));
        if !choice.mountpoints.passes(&mountpoint) || !choice.types.passes(&fstype) {
            return;
        }
        let path = beneath(&choice.rootfs, inside);
        let call = self.calls.iter().position(|c| *c.path == *path).unwrap_or_else(|| {
            self.calls.push(Call { path: path.into(), device: mount.device, is_local });
            self.calls.len() - 1
        });
        let (major, minor) = mount.device;
        let new = Mount {
            device: valid_utf8(mount.source).into(),
            mountpoint: mountpoint.into(),
            fstype: fstype.into(),
            major: major.to_compact_string(),
            minor: minor.to_compact_string(),
            readonly: mount.readonly,
            call,
        };
        // The later of two mounts with the same labels lies on top: it is the one that statfs sees.
        match self.mounts.iter_mut().find(|known| known.labels() == new.labels()) {
            Some(known) => *known = new,
            None => self.mounts.push(new),
        }
    }
}

impl Mount {
    /// Device, mount point and type.
    pub fn labels(&self) -> [&str; 3] {
        [&self.device, &self.mountpoint, &self.fstype]
    }
}

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
}

/// The mount point as seen from the host's root.
fn without_prefix<'a>(mountpoint: &'a [u8], rootfs: &[u8]) -> &'a [u8] {
    match mountpoint.strip_prefix(rootfs) {
        _ if rootfs == b"/" => mountpoint,
        Some([]) => b"/",
        Some(inside) if inside[0] == b'/' => inside,
        _ => mountpoint,
    }
}

/// Where kanary sees it.
fn beneath(rootfs: &Path, mountpoint: &[u8]) -> PathBuf {
    let inside = mountpoint.strip_prefix(b"/").unwrap_or(mountpoint);
    if inside.is_empty() { rootfs.into() } else { rootfs.join(OsStr::from_bytes(inside)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locals(lines: &[&str]) -> Vec<bool> {
        let bytes = lines.join("\n");
        let text = Text { path: Path::new("mountinfo"), bytes: bytes.as_bytes() };
        let choice = Choice { rootfs: "/".into(), mountpoints: Filter::default(), types: Filter::default() };
        Table::new(&text, &choice).unwrap().calls.iter().map(|call| call.is_local).collect()
    }

    #[test]
    fn what_is_local_and_reached_through_local_mounts_is_asked_at_once() {
        let table = [
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            "2 1 0:9 / /mnt rw - nfs4 server:/export rw",
            "3 2 8:2 / /mnt/disk rw - xfs /dev/sdb rw",
            "4 1 8:3 / /mnt2 rw - xfs /dev/sdc rw",
            "5 1 8:4 / /covered rw - xfs /dev/sdd rw",
            "6 1 0:10 / /covered rw - fuse.sshfs host: rw",
        ];
        assert_eq!(locals(&table), [true, false, false, true, false]);
        assert_eq!(locals(&["1 0 0:30 / / rw - overlay overlay rw", table[3]]), [false, false]);
    }

    #[test]
    fn the_hosts_root_may_be_mounted_elsewhere() {
        assert_eq!(without_prefix(b"/host/boot", b"/host"), b"/boot");
        assert_eq!(without_prefix(b"/host", b"/host"), b"/");
        assert_eq!(without_prefix(b"/hostile", b"/host"), b"/hostile");
        assert_eq!(without_prefix(b"/boot", b"/"), b"/boot");
        assert_eq!(beneath(Path::new("/host"), b"/boot"), Path::new("/host/boot"));
        assert_eq!(beneath(Path::new("/"), b"/"), Path::new("/"));
    }
}
