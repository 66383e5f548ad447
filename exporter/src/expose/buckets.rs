//! The same histogram in the shapes the formats want, by re-indexing alone: no boundary is ever interpolated.

use crate::snapshot::Histogram;

/// Upper boundaries of the classic buckets, 4^k seconds for k = -10..=2, as Go writes them; `+Inf` comes after.
pub const CLASSIC_LE: [&str; 13] = [
    "9.5367431640625e-07",
    "3.814697265625e-06",
    "1.52587890625e-05",
    "6.103515625e-05",
    "0.000244140625",
    "0.0009765625",
    "0.00390625",
    "0.015625",
    "0.0625",
    "0.25",
    "1",
    "4",
    "16",
];
/// log2 of the first of [`CLASSIC_LE`].
const CLASSIC_LOW: i32 = -20;
const PER_OCTAVE: usize = 1 << Histogram::SCHEMA;

/// Index of the last bucket at or below the k-th classic boundary.
const fn classic_end(k: usize) -> usize {
    (CLASSIC_LOW - Histogram::LOW) as usize * PER_OCTAVE + k * 2 * PER_OCTAVE
}

/// Boundary of the k-th classic bucket in seconds.
pub fn classic_upper(k: usize) -> f64 {
    Histogram::upper(classic_end(k))
}

/// Cumulative counts at each of [`CLASSIC_LE`].
pub fn classic(histogram: &Histogram) -> [u64; CLASSIC_LE.len()] {
    let mut total = 0;
    let mut from = 0;
    std::array::from_fn(|k| {
        let to = classic_end(k) + 1;
        total += histogram.buckets[from..to].iter().sum::<u64>();
        from = to;
        total
    })
}

/// Upper boundary of the zero bucket in seconds: the underflow is kept there.
pub fn zero_threshold() -> f64 {
    Histogram::upper(0)
}

/// Index at schema 3 of `buckets[i]`, i >= 1: it holds (2^((index-1)/8), 2^(index/8)]. The overflow takes the index
/// after the highest boundary, so that the counts agree.
pub fn native_index(i: usize) -> i32 {
    Histogram::LOW * PER_OCTAVE as i32 + i as i32
}

/// The filled buckets above the zero bucket as runs of positions: (first, counts). Gaps of up to two empty buckets
/// are cheaper written than skipped.
pub fn runs(histogram: &Histogram) -> Vec<(usize, &[u64])> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for i in (1..histogram.buckets.len()).filter(|&i| histogram.buckets[i] > 0) {
        match runs.last_mut() {
            Some((_, end)) if i <= *end + 2 => *end = i + 1,
            _ => runs.push((i, i + 1)),
        }
    }
    runs.into_iter().map(|(from, to)| (from, &histogram.buckets[from..to])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(filled: &[(usize, u64)]) -> Histogram {
        let mut h = Histogram::empty();
        for &(i, n) in filled {
            h.buckets[i] = n;
        }
        h
    }

    #[test]
    fn classic_boundaries_are_powers_of_four_and_exact() {
        for (k, le) in CLASSIC_LE.iter().enumerate() {
            assert_eq!(classic_upper(k), 4f64.powi(k as i32 - 10));
            let mut text = Vec::new();
            super::super::number::write(classic_upper(k), &mut text);
            assert_eq!(text, le.as_bytes());
        }
    }

    #[test]
    fn classic_counts_are_cumulative_and_closed_above() {
        let at_one = (0..Histogram::LEN).find(|&i| Histogram::upper(i) == 1.0).unwrap();
        let h = histogram(&[(0, 5), (at_one, 2), (at_one + 1, 1), (Histogram::LEN - 1, 7)]);
        assert_eq!(classic(&h), [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 7, 8, 8]);
        assert_eq!(h.count(), 15);
    }

    #[test]
    fn native_indices_agree_with_the_boundaries() {
        for i in 1..Histogram::LEN - 1 {
            let upper = (f64::from(native_index(i)) / 8.0).exp2();
            assert_eq!(Histogram::upper(i), upper);
        }
        assert_eq!(zero_threshold(), 2f64.powi(-27));
    }

    #[test]
    fn runs_bridge_short_gaps_only() {
        let h = histogram(&[(0, 9), (3, 1), (6, 2), (10, 4)]);
        assert_eq!(runs(&h), [(3, &[1, 0, 0, 2][..]), (10, &[4][..])]);
        assert!(runs(&histogram(&[(0, 1)])).is_empty());
    }
}
