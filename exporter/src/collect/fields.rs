//! Words and numbers of the kernel's text files. Pure, total over arbitrary bytes, allocation-free but for [`LineMemo`].

use compact_str::CompactString;

/// Most lines a [`LineMemo`] learns; files of more lines are not the kernel's.
pub const MAX_LINES: usize = 8192;

/// Words separated by blanks and tabs.
pub fn words(line: &[u8]) -> Words<'_> {
    Words(line)
}

/// Iterator of [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let blank = |b: &u8| *b == b' ' || *b == b'\t';
        let start = self.0.iter().position(|b| !blank(b))?;
        let rest = &self.0[start..];
        let end = rest.iter().position(blank).unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }
}

/// A decimal number without sign. `None` when there is anything else or it does not fit.
pub fn integer(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |n, b| match b {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// A counter of up to 64 bits as Prometheus stores it.
pub fn count(word: &[u8]) -> Option<f64> {
    integer(word).map(|n| n as f64)
}

/// A finite decimal fraction.
pub fn fraction(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok().filter(|f: &f64| f.is_finite())
}

/// `text` as UTF-8 with each run of invalid bytes replaced by one U+FFFD, as Go's `strings.ToValidUTF8` does.
pub fn valid_utf8(text: &[u8]) -> std::borrow::Cow<'_, str> {
    if let Ok(valid) = std::str::from_utf8(text) {
        return valid.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut in_run = false;
    for chunk in text.utf8_chunks() {
        in_run &= chunk.valid().is_empty();
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() && !in_run {
            out.push(char::REPLACEMENT_CHARACTER);
            in_run = true;
        }
    }
    out.into()
}

/// `key` as part of a metric's name, parentheses turned into `_`: `Active(anon)` is `Active_anon`. `None` when no metric
/// can be named after it.
pub fn metric_key(key: &[u8]) -> Option<CompactString> {
    let key = std::str::from_utf8(key.strip_suffix(b")").unwrap_or(key)).ok()?;
    let name: CompactString = key.chars().map(|c| if c == '(' { '_' } else { c }).collect();
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')).then_some(name)
}

/// CPUs that a heading names: `CPU0 CPU2`.
pub fn cpu_columns(line: &[u8]) -> Vec<&str> {
    let number = |word| std::str::from_utf8(word).ok()?.strip_prefix("CPU");
    words(line).map_while(number).take(MAX_LINES).collect()
}

/// Numbers of a kernel list such as `0-3,5`. `None` when it is none, or longer than any kernel's.
pub fn number_list(text: &[u8]) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for range in text.trim_ascii().split(|b| *b == b',').filter(|r| !r.is_empty()) {
        let mut ends = range.splitn(2, |b| *b == b'-');
        let from = u32::try_from(integer(ends.next()?)?).ok()?;
        let to = ends.next().map_or(Some(from), |w| u32::try_from(integer(w)?).ok())?;
        if to < from || numbers.len() + (to - from) as usize >= MAX_LINES {
            return None;
        }
        numbers.extend(from..=to);
    }
    Some(numbers)
}

/// What the key of each line means, learned once: the kernel keeps the order of its lines, so the next reading only
/// compares keys. A key that changes place makes the rest be learned again.
#[derive(Debug)]
pub struct LineMemo<T> {
    known: Vec<(Box<[u8]>, T)>,
    next: usize,
}

impl<T> Default for LineMemo<T> {
    fn default() -> Self {
        LineMemo { known: Vec::new(), next: 0 }
    }
}

impl<T> LineMemo<T> {
    /// Begins a new reading of the file.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
    /// What the key of the next line means; `learn` says so when it is new here. `None` for a key that stood on an
    /// earlier line, and beyond [`MAX_LINES`].
    pub fn next(&mut self, key: &[u8], learn: impl FnOnce(&[u8]) -> T) -> Option<&mut T> {
        if self.known.get(self.next).is_none_or(|(k, _)| **k != *key) {
            self.known.truncate(self.next);
            if self.next >= MAX_LINES || self.known.iter().any(|(k, _)| **k == *key) {
                return None;
            }
            self.known.push((key.into(), learn(key)));
        }
        self.next += 1;
        self.known.get_mut(self.next - 1).map(|(_, t)| t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_what_is_between_blanks() {
        assert_eq!(words(b"  8       0 sda\t1 ").collect::<Vec<_>>(), [&b"8"[..], b"0", b"sda", b"1"]);
    }

    #[test]
    fn numbers() {
        assert_eq!(integer(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(integer(b"18446744073709551616"), None);
        assert_eq!(integer(b"-1"), None);
        assert_eq!(integer(b""), None);
        assert_eq!(fraction(b"0.21"), Some(0.21));
        assert_eq!(fraction(b"NaN"), None);
        assert_eq!(number_list(b"1,3-5,9\n"), Some(vec![1, 3, 4, 5, 9]));
        assert_eq!(number_list(b"\n"), Some(vec![]));
        assert_eq!(number_list(b"0-4294967295"), None);
        assert_eq!(number_list(b"5-3"), None);
    }

    #[test]
    fn a_run_of_invalid_bytes_is_one_replacement() {
        assert_eq!(valid_utf8(b"/mnt/\xff\xfe\xfdx\xff"), "/mnt/\u{fffd}x\u{fffd}");
        assert_eq!(valid_utf8("/mnt/ä".as_bytes()), "/mnt/ä");
    }

    #[test]
    fn a_memo_learns_again_from_the_line_that_changed() {
        let mut memo = LineMemo::default();
        let mut learned = Vec::new();
        let read = |memo: &mut LineMemo<u8>, learned: &mut Vec<u8>, keys: &[u8]| {
            memo.rewind();
            for k in keys {
                memo.next(&[*k], |k| {
                    learned.push(k[0]);
                    k[0]
                });
            }
        };
        read(&mut memo, &mut learned, b"abc");
        read(&mut memo, &mut learned, b"abc");
        assert_eq!(learned, b"abc");
        read(&mut memo, &mut learned, b"axbc");
        assert_eq!(learned, b"abcxbc");
        assert!(memo.next(b"a", |_| 0).is_none());
    }

    proptest! {
        #[test]
        fn integers_round_trip(n: u64) {
            prop_assert_eq!(integer(n.to_string().as_bytes()), Some(n));
        }
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (integer(&bytes), fraction(&bytes), number_list(&bytes), valid_utf8(&bytes));
            let _ = (metric_key(&bytes), cpu_columns(&bytes));
            let rejoined: Vec<u8> = words(&bytes).flatten().copied().collect();
            let blanks = |b: &&u8| **b != b' ' && **b != b'\t';
            prop_assert_eq!(rejoined, bytes.iter().filter(blanks).copied().collect::<Vec<_>>());
        }
    }
}
