//! Bucket boundaries in nanoseconds and the table by which the kernel finds a bucket.
//!
//! Compiled twice: into the build script, which writes the tables for `bpf/syscalls.bpf.c`, and into the tests, which
//! prove them with exact arithmetic. Durations are whole nanoseconds, so a boundary is rounded down.

/// Buckets per octave.
const PER_OCTAVE: i32 = 8;
/// log2 of the lowest boundary in seconds.
const LOW: i32 = -27;
/// Decades of 16 below 2^40 ns; longer is overflow.
const DECADES: usize = 9;
/// New cells of each decade: its lowest 16 belong to the one before.
const CELLS_PER_DECADE: usize = 240;

/// Upper boundary of each bucket in ns, 2^(LOW + i/8) s rounded down; the last holds everything.
pub fn bounds(buckets: usize) -> Vec<u64> {
    let mut bounds: Vec<u64> = (0..buckets as i32 - 1)
        .map(|i| {
            let exponent = f64::from(LOW) + f64::from(i) / f64::from(PER_OCTAVE);
            (exponent.exp2() * 1e9).floor() as u64
        })
        .collect();
    bounds.push(u64::MAX);
    bounds
}

/// Bucket of the shortest duration of each cell. Cells of the first decade are single nanoseconds, those of decade `d`
/// durations with the same `ns >> 4d`: narrower than a bucket, so that one comparison with the bound decides.
pub fn cells(bounds: &[u64]) -> Vec<u16> {
    (0..DECADES * CELLS_PER_DECADE + 16)
        .map(|cell| {
            let decade = (cell.saturating_sub(16) / CELLS_PER_DECADE).min(DECADES - 1);
            let shortest = ((cell - decade * CELLS_PER_DECADE) as u64) << (4 * decade);
            bounds.partition_point(|&b| b < shortest) as u16
        })
        .collect()
}

/// C source of both tables.
#[allow(dead_code, reason = "the build script's part")]
pub fn header(buckets: usize) -> String {
    let bounds = bounds(buckets);
    let list = |items: Vec<String>| items.join(",");
    format!(
        "static const __u64 bucket_bounds[] = {{{}}};\nstatic const __u16 bucket_cells[] = {{{}}};\n",
        list(bounds.iter().map(|b| format!("{b}ull")).collect()),
        list(cells(&bounds).iter().map(u16::to_string).collect()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::abi;
    use crate::snapshot::Histogram;
    use proptest::prelude::*;

    /// Product of two numbers in base 2^32, lowest digit first.
    fn times(a: &[u64], b: &[u64]) -> Vec<u64> {
        let mut product = vec![0u64; a.len() + b.len()];
        for (i, x) in a.iter().enumerate() {
            let mut carry = 0;
            for (j, y) in b.iter().enumerate() {
                let sum = product[i + j] + x * y + carry;
                product[i + j] = sum & 0xffff_ffff;
                carry = sum >> 32;
            }
            product[i + b.len()] += carry;
        }
        product
    }

    fn eighth_power(n: u64) -> Vec<u64> {
        let mut power = vec![n & 0xffff_ffff, n >> 32];
        for _ in 0..3 {
            power = times(&power, &power);
        }
        power
    }

    fn shifted(n: &[u64], octets: u32) -> Vec<u64> {
        let mut shifted = vec![0; (octets / 32) as usize];
        shifted.extend(times(n, &[1 << (octets % 32)]));
        shifted
    }

    fn less(a: &[u64], b: &[u64]) -> bool {
        let digit = |n: &[u64], i: usize| n.get(i).copied().unwrap_or(0);
        (0..a.len().max(b.len())).rev().map(|i| digit(a, i).cmp(&digit(b, i))).find(|o| o.is_ne())
            == Some(std::cmp::Ordering::Less)
    }

    /// Whether n > 2^(k/8) * 10^9, by whole numbers: n^8 > 2^k * 10^72.
    fn above(n: u64, k: i32) -> bool {
        let (n8, limit) = (eighth_power(n), eighth_power(1_000_000_000));
        if k >= 0 { less(&shifted(&limit, k as u32), &n8) } else { less(&limit, &shifted(&n8, -k as u32)) }
    }

    fn lookup(ns: u64, bounds: &[u64], cells: &[u16]) -> usize {
        let decade = (0..DECADES).find(|d| ns < 1 << (8 + 4 * d));
        let Some(decade) = decade else { return abi::BUCKETS as usize - 1 };
        let bucket = cells[decade * CELLS_PER_DECADE + (ns >> (4 * decade)) as usize] as usize;
        bucket + usize::from(ns > bounds[bucket])
    }

    #[test]
    fn the_kernel_counts_what_a_histogram_holds() {
        assert_eq!(abi::BUCKETS as usize, Histogram::LEN);
        assert_eq!(LOW, Histogram::LOW);
        assert_eq!(PER_OCTAVE, 1 << Histogram::SCHEMA);
        assert_eq!(LOW + (abi::BUCKETS as i32 - 2) / PER_OCTAVE, Histogram::HIGH);
    }

    #[test]
    fn every_boundary_is_exact() {
        let bounds = bounds(Histogram::LEN);
        for (i, &bound) in bounds[..Histogram::LEN - 1].iter().enumerate() {
            let k = LOW * PER_OCTAVE + i as i32;
            assert!(!above(bound, k), "bucket {i}: {bound} ns is above 2^({k}/8) s");
            assert!(above(bound + 1, k), "bucket {i}: {} ns is not above 2^({k}/8) s", bound + 1);
        }
    }

    #[test]
    fn the_table_finds_both_sides_of_every_boundary() {
        let bounds = bounds(Histogram::LEN);
        let cells = cells(&bounds);
        for (i, pair) in bounds.windows(2).enumerate() {
            assert!(lookup(pair[0], &bounds, &cells) <= i);
            assert!(lookup(pair[0] + 1, &bounds, &cells) > i);
            // Two boundaries lie between 8 and 9 ns: no duration is between them.
            if pair[0] != pair[1] && i > 0 && bounds[i - 1] != pair[0] {
                assert_eq!(lookup(pair[0], &bounds, &cells), i);
            }
        }
        assert_eq!(lookup(0, &bounds, &cells), 0);
        assert_eq!(lookup(u64::MAX, &bounds, &cells), Histogram::LEN - 1);
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_search(ns in prop_oneof![0u64..1 << 16, 0u64..1 << 41, any::<u64>()]) {
            let bounds = bounds(Histogram::LEN);
            prop_assert_eq!(lookup(ns, &bounds, &cells(&bounds)), bounds.partition_point(|&b| b < ns));
        }
    }
}
