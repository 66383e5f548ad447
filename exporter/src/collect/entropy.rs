//! `/proc/sys/kernel/random/entropy_avail` and `poolsize` (drivers/char/random.c), in bits.

use super::attribute::{Attribute, Scale};
use super::{Collector, Error, Row};
use crate::metric::system;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "entropy",
    default: true,
    options: &[],
    build: |setup| {
        let dir = setup.config.paths.proc.join("sys/kernel/random");
        Ok(Box::new(Entropy {
            available: Attribute::number(dir.join("entropy_avail")),
            pool: Attribute::number(dir.join("poolsize")),
        }))
    },
};

struct Entropy {
    available: Attribute,
    pool: Attribute,
}

impl Collector for Entropy {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        self.available.put(&system::ENTROPY, &[], Scale::ONE, out);
        self.pool.put(&system::ENTROPY_POOL, &[], Scale::ONE, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    #[test]
    fn each_file_by_itself() {
        let host = Host::new(&[("proc/sys/kernel/random/entropy_avail", b"256\n")]);
        assert_eq!(host.read("entropy", &[]).lines, ["node_entropy_available_bits 256"]);
        host.write("proc/sys/kernel/random/poolsize", b"4096\n");
        host.write("proc/sys/kernel/random/entropy_avail", b"\xff\n");
        let reading = host.read("entropy", &[]);
        assert_eq!((&reading.lines[..], reading.faults.len()), (&["node_entropy_pool_size_bits 4096".into()][..], 1));
    }
}
