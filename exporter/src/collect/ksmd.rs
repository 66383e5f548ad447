//! Kernel samepage merging: `/sys/kernel/mm/ksm` (Documentation/admin-guide/mm/ksm.rst), a number in each file.

use super::attribute::{Attribute, Scale};
use super::{Collector, Error, Row};
use crate::metric::{Family, memory};
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "ksmd",
    default: false,
    options: &[],
    build: |setup| {
        let dir = setup.config.paths.sys.join("kernel/mm/ksm");
        Ok(Box::new(Ksmd(FILES.each_ref().map(|(file, ..)| Attribute::number(dir.join(file))))))
    },
};

static FILES: [(&str, &Family, Scale); 10] = [
    ("full_scans", &memory::KSM_FULL_SCANS, Scale::ONE),
    ("general_profit", &memory::KSM_PROFIT, Scale::ONE),
    ("merge_across_nodes", &memory::KSM_ACROSS_NODES, Scale::ONE),
    ("pages_shared", &memory::KSM_SHARED, Scale::ONE),
    ("pages_sharing", &memory::KSM_SHARING, Scale::ONE),
    ("pages_to_scan", &memory::KSM_TO_SCAN, Scale::ONE),
    ("pages_unshared", &memory::KSM_UNSHARED, Scale::ONE),
    ("pages_volatile", &memory::KSM_VOLATILE, Scale::ONE),
    ("run", &memory::KSM_RUN, Scale::ONE),
    ("sleep_millisecs", &memory::KSM_SLEEP, Scale::over(1000.0)),
];

struct Ksmd([Attribute; FILES.len()]);

impl Collector for Ksmd {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        for ((_, family, scale), file) in FILES.iter().zip(&mut self.0) {
            file.put(family, &[], *scale, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    #[test]
    fn files_that_are_there() {
        let host = Host::new(&[
            ("sys/kernel/mm/ksm/general_profit", b"-4096\n"),
            ("sys/kernel/mm/ksm/sleep_millisecs", b"20\n"),
            ("sys/kernel/mm/ksm/run", b"on\n"),
        ]);
        let reading = host.read("ksmd", &[]);
        assert_eq!(reading.lines, ["node_ksmd_general_profit_bytes -4096", "node_ksmd_sleep_seconds 0.02"]);
        assert_eq!(reading.faults.len(), 1);
    }
}
