//! The distribution: `/etc/os-release`, else `/usr/lib/os-release` (os-release(5)), below KANARY_ROOTFS.
//!
//! ```text
//! PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
//! VERSION_ID="12"
//! ```
//!
//! The file is read again when it was replaced. A link is followed below KANARY_ROOTFS, where the host's files are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use compact_str::CompactString;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::fields::{fraction, valid_utf8};
use super::procfile::read_once;
use super::{Collector, Error, Row};
use crate::metric::system::{OS, OS_LABELS, OS_SUPPORT_END, OS_VERSION};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "os",
    default: true,
    options: &[],
    build: |setup| Ok(Box::new(Os { rootfs: setup.config.paths.rootfs.clone(), known: None })),
};

const FILES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Most links from one to the next; the kernel's own limit.
const MAX_LINKS: usize = 40;

struct Os {
    rootfs: PathBuf,
    known: Option<(Identity, Release)>,
}

/// Changes when the file does: path, inode, size, time.
type Identity = (PathBuf, u64, u64, i64, i64);

#[derive(Debug, Default, PartialEq)]
struct Release {
    labels: [CompactString; OS_LABELS.len()],
    version: Option<f64>,
    /// Seconds since the epoch.
    support_end: Option<i64>,
}

impl Collector for Os {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let found = FILES.iter().find_map(|file| identity(resolve(&self.rootfs, file)));
        let identity = found.ok_or_else(|| Error::Absent(format!("{}: no os-release", self.rootfs.display())))?;
        if self.known.as_ref().is_none_or(|(known, _)| *known != identity) {
            let text = read_once(&identity.0)?;
            self.known = Some((identity, Release::parse(&text)));
        }
        if let Some((_, release)) = &self.known {
            release.put(out);
        }
        Ok(())
    }
}

fn identity(path: PathBuf) -> Option<Identity> {
    let about = fs::metadata(&path).ok()?;
    Some((path, about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

/// Follows links of the file itself; absolute ones begin at `rootfs`.
fn resolve(rootfs: &Path, file: &str) -> PathBuf {
    let mut path = rootfs.join(file);
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = match target.strip_prefix("/") {
            Ok(inside) => rootfs.join(inside),
            Err(_) => path.parent().unwrap_or(rootfs).join(target),
        };
    }
    path
}

impl Release {
    /// The last value of a key counts, as in a shell.
    fn parse(text: &[u8]) -> Self {
        let mut release = Release::default();
        for (key, value) in text.split(|b| *b == b'\n').filter_map(assignment) {
            if let Some(at) = OS_LABELS.iter().position(|label| label.as_bytes().eq_ignore_ascii_case(key)) {
                release.labels[at] = valid_utf8(&value).into();
            }
            match key {
                b"VERSION_ID" => release.version = version(&value),
                b"SUPPORT_END" => release.support_end = midnight(&value),
                _ => {}
            }
        }
        release
    }

    fn put(&self, out: &mut Sink) {
        out.number(&OS, &self.labels.each_ref().map(CompactString::as_str), 1.0);
        if let Some(version) = self.version {
            let label = |name| OS_LABELS.iter().position(|l| *l == name).map_or("", |at| self.labels[at].as_str());
            out.number(&OS_VERSION, &["id", "id_like", "name"].map(label), version);
        }
        if let Some(end) = self.support_end {
            out.number(&OS_SUPPORT_END, &[], end as f64);
        }
    }
}

/// `KEY=value`, quoted or not; blank lines and comments are none.
fn assignment(line: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let line = line.trim_ascii();
    let equals = line.iter().position(|b| *b == b'=')?;
    let (key, value) = (&line[..equals], &line[equals + 1..]);
    let is_key = !key.is_empty() && key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    is_key.then(|| (key, unquoted(value)))
}

/// A word as a shell reads it: up to the closing quote, or up to a blank.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let (quote, rest) = match value.split_first() {
        Some((q @ (b'"' | b'\''), rest)) => (Some(*q), rest),
        _ => (None, value),
    };
    let mut bytes = rest.iter().copied();
    let mut word = Vec::with_capacity(rest.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quote != Some(b'\'') => word.extend(bytes.next()),
            _ if Some(byte) == quote => break,
            b' ' | b'\t' if quote.is_none() => break,
            _ => word.push(byte),
        }
    }
    word
}

/// Major and minor part: `22.04` of `22.04.1`.
fn version(id: &[u8]) -> Option<f64> {
    let digits = |from: usize| id[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let major = digits(0);
    let end = if id.get(major) == Some(&b'.') { major + 1 + digits(major + 1) } else { major };
    fraction(id[..end].strip_suffix(b".").unwrap_or(&id[..end])).filter(|version| *version > 0.0)
}

/// Of a day such as `2026-08-01`, in UTC.
fn midnight(day: &[u8]) -> Option<i64> {
    let day: Date = std::str::from_utf8(day).ok()?.parse().ok()?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Host, read};
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    const TEXT: &[u8] =
        b"# comment\nNAME=\"Ex \\\"am\\\" ple\"\nID=example\nID_LIKE='a b'\nVERSION_ID=\"22.04.1\" # why\n\
        VERSION=22.04 LTS\nSUPPORT_END=2026-08-01\n=x\nHOME_URL\n";

    #[test]
    fn facts_become_labels() {
        let lines = Host::new(&[("root/usr/lib/os-release", TEXT)]).read("os", &[]).lines;
        assert!(lines[0].contains(r#"id="example",id_like="a b",image_id="""#), "{lines:?}");
        assert!(lines[0].contains(r#"name="Ex "am" ple""#) && lines[0].contains(r#"version="22.04","#), "{lines:?}");
        assert_eq!(lines[1], r#"node_os_version{id="example",id_like="a b",name="Ex "am" ple"} 22.04"#);
        assert_eq!(lines[2], "node_os_support_end_timestamp_seconds 1785542400");
        assert!(matches!(Host::new(&[]).read("os", &[]).error, Some(Error::Absent(_))));
    }

    #[test]
    fn a_replaced_file_is_read_again_and_links_stay_below_the_root() {
        let host = Host::new(&[("root/nix/os-release", b"ID=one\n")]);
        fs::create_dir_all(host.path().join("root/etc/static")).unwrap();
        symlink("/etc/static/os-release", host.path().join("root/etc/os-release")).unwrap();
        symlink("../../nix/os-release", host.path().join("root/etc/static/os-release")).unwrap();
        let mut os = host.build("os", &[]);
        assert!(read(&mut *os).lines[0].contains(r#"id="one""#));
        host.write("root/nix/new", b"ID=second\n");
        fs::rename(host.path().join("root/nix/new"), host.path().join("root/nix/os-release")).unwrap();
        assert!(read(&mut *os).lines[0].contains(r#"id="second""#));
    }

    #[test]
    fn versions() {
        let cases = [("12", Some(12.0)), ("22.04.1", Some(22.04)), ("40.", Some(40.0)), ("rolling", None), ("0", None)];
        for (id, expected) in cases {
            assert_eq!(version(id.as_bytes()), expected, "{id}");
        }
        assert_eq!(midnight(b"soon"), None);
    }

    proptest! {
        #[test]
        fn values_round_trip(value in "[^\n\"\\\\$`]{0,20}") {
            let line = format!("NAME=\"{value}\"");
            prop_assert_eq!(assignment(line.as_bytes()), Some((&b"NAME"[..], value.into_bytes())));
        }
        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            Release::parse(&text);
            version(&text);
            midnight(&text);
        }
    }
}
