//! uname(2): the labels of the host.

use std::ffi::CStr;

use rustix::system::uname;

use super::fields::valid_utf8;
use super::{Collector, Error, Row};
use crate::metric::system;
use crate::snapshot::Sink;

pub const ROW: Row = Row { id: "uname", default: true, options: &[], build: |_| Ok(Box::new(Uname)) };

struct Uname;

impl Collector for Uname {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let name = uname();
        let labels =
            [name.sysname(), name.release(), name.version(), name.machine(), name.nodename(), name.domainname()];
        let labels = labels.map(|label| valid_utf8(CStr::to_bytes(label)));
        out.number(&system::UNAME, &labels.each_ref().map(|label| &**label), 1.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    #[test]
    fn the_running_kernel() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let lines = Host::new(&[]).read("uname", &[]).lines;
        let begin = format!("node_uname_info{{sysname=\"Linux\",release=\"{}\",", release.trim());
        assert!(lines[0].starts_with(&begin), "{}", lines[0]);
    }
}
