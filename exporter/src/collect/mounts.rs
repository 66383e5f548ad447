//! The table of mounts, `/proc/<pid>/mountinfo` (fs/proc_namespace.c, proc_pid_mountinfo(5)). Pure.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! ```

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Mount<'a> {
    /// Major and minor of `st_dev`.
    pub device: (u32, u32),
    /// Unescaped.
    pub mountpoint: Vec<u8>,
    pub fstype: &'a [u8],
    /// As it stands in the table.
    pub source: &'a [u8],
    /// By option of the mount or of the file system, or since the file system shut itself down.
    pub readonly: bool,
}

/// `None` when the line is none of the table.
pub fn parse(line: &[u8]) -> Option<Mount<'_>> {
    let mut fields = line.split(|b| *b == b' ');
    let device = number_pair(fields.nth(2)?)?;
    let mountpoint = unescape(fields.nth(1)?);
    let options = fields.next()?;
    // Optional fields end at a lone dash.
    fields.find(|field| *field == b"-")?;
    let (fstype, source, super_options) = (fields.next()?, fields.next()?, fields.next()?);
    let has = |options: &[u8], option: &[u8]| options.split(|b| *b == b',').any(|o| o == option);
    let readonly = has(options, b"ro") || has(super_options, b"ro") || has(super_options, b"emergency_ro");
    (mountpoint.first() == Some(&b'/')).then_some(Mount { device, mountpoint, fstype, source, readonly })
}

fn number_pair(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The kernel writes blank, tab, newline, backslash and `#` as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = |digits: &[u8; 3]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match tail.first_chunk().filter(|_| *first == b'\\').and_then(octal) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mountpoint(text: &str) -> String {
        let line = format!("1 2 0:41 / {text} rw - ext4 /dev/sda rw");
        String::from_utf8(parse(line.as_bytes()).unwrap().mountpoint).unwrap()
    }

    #[test]
    fn a_line_with_and_without_optional_fields() {
        let line = b"48 45 260:3 / /boot rw,relatime shared:92 master:1 - ext2 /dev/sda3 rw";
        let mount = Mount {
            device: (260, 3),
            mountpoint: b"/boot".into(),
            fstype: b"ext2",
            source: b"/dev/sda3",
            readonly: false,
        };
        assert_eq!(parse(line), Some(mount.clone()));
        assert_eq!(parse(b"48 45 260:3 / /boot rw,relatime - ext2 /dev/sda3 rw"), Some(mount));
    }

    #[test]
    fn read_only_by_mount_by_file_system_or_in_emergency() {
        let readonly = |options: &str, super_options: &str| {
            parse(format!("1 2 0:1 / / {options} - ext4 /dev/vda {super_options}").as_bytes()).unwrap().readonly
        };
        assert!(readonly("ro,relatime", "rw") && readonly("rw", "noacl,ro") && readonly("rw", "rw,emergency_ro"));
        assert!(!readonly("rw", "rw,errors=remount-ro"));
    }

    #[test]
    fn escapes() {
        assert_eq!(mountpoint(r"/a\040b\011c\012d\134e\043f"), "/a b\tc\nd\\e#f");
        assert_eq!(mountpoint(r"/a\04"), r"/a\04");
        assert_eq!(mountpoint(r"/a\999"), r"/a\999");
        assert_eq!(mountpoint(r"/a\777"), r"/a\777");
    }

    #[test]
    fn an_empty_source_and_no_lines() {
        assert_eq!(parse(b"1 2 0:1 / /x rw - tmpfs  rw").unwrap().source, b"");
        for bad in ["", "1 2 3 / /x rw - tmpfs t rw", "1 2 0:1 / /x rw tmpfs t rw", "1 2 0:1 / x rw - tmpfs t rw"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(line: Vec<u8>) {
            let _ = parse(&line);
            prop_assert!(unescape(&line).len() <= line.len());
        }
        #[test]
        fn mountpoints_round_trip(path: Vec<u8>) {
            let escaped: String = path.iter().map(|b| format!("\\{b:03o}")).collect();
            prop_assert_eq!(unescape(escaped.as_bytes()), path);
        }
    }
}
