//! `/proc/sys/fs/file-nr` (fs/file_table.c): `1024 0 1631329` with tabs in between, open files and how many there may
//! be. The second is always 0.

use super::fields::{count, words};
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::system;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "filefd",
    default: true,
    options: &[],
    build: |setup| Ok(Box::new(FileFd { file: ProcFile::value(setup.config.paths.proc.join("sys/fs/file-nr")) })),
};

struct FileFd {
    file: ProcFile,
}

impl Collector for FileFd {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let (allocated, maximum) = parse(text.bytes).ok_or_else(|| text.failed(text.bytes, "is not three numbers"))?;
        out.number(&system::FILES_ALLOCATED, &[], allocated);
        out.number(&system::FILES_MAXIMUM, &[], maximum);
        Ok(())
    }
}

fn parse(text: &[u8]) -> Option<(f64, f64)> {
    let mut numbers = words(text.trim_ascii()).map(count);
    let allocated = numbers.next()??;
    numbers.next()??;
    Some((allocated, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn the_first_and_the_third() {
        let host = Host::new(&[("proc/sys/fs/file-nr", b"1024\t0\t9223372036854775807\n")]);
        let expected = ["node_filefd_allocated 1024", "node_filefd_maximum 9223372036854776000"];
        assert_eq!(host.read("filefd", &[]).lines, expected);
        assert!(matches!(Host::new(&[]).read("filefd", &[]).error, Some(Error::Absent(_))));
        assert_eq!(parse(b"1 2"), None);
    }

    proptest! {
        #[test]
        fn numbers_round_trip(a: u32, b: u32, c: u32) {
            prop_assert_eq!(parse(format!("{a}\t{b}\t{c}\n").as_bytes()), Some((a.into(), c.into())));
        }
        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            parse(&text);
        }
    }
}
