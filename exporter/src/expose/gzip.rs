//! Whole-body gzip at the level that costs a scrape least.

use flate2::{Compress, Compression, FlushCompress, Status};

const LEVEL: u32 = 1;
const WINDOW_BITS: u8 = 15;

/// Compressor state, reused between bodies.
pub struct Gzip(Compress);

impl Default for Gzip {
    fn default() -> Self {
        Gzip(Compress::new_gzip(Compression::new(LEVEL), WINDOW_BITS))
    }
}

impl Gzip {
    /// Appends `plain`, compressed, to `out`.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        self.0.reset();
        out.reserve(plain.len() / 4 + 512);
        loop {
            let done = self.0.total_in() as usize;
            let status = self.0.compress_vec(&plain[done..], out, FlushCompress::Finish);
            if status.expect("a state that was reset takes any bytes") == Status::StreamEnd {
                return;
            }
            out.reserve(plain.len() / 2 + 512);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn plain(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn everything_comes_back_from_a_reused_state(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..4)) {
            let mut gzip = Gzip::default();
            for body in bodies {
                let mut packed = Vec::new();
                gzip.compress(&body, &mut packed);
                prop_assert_eq!(plain(&packed), body);
            }
        }
    }

    #[test]
    fn text_shrinks() {
        let body = b"node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 1234.5\n".repeat(1000);
        let mut packed = Vec::new();
        Gzip::default().compress(&body, &mut packed);
        assert!(packed.len() * 10 < body.len());
        assert_eq!(plain(&packed), body);
    }
}
