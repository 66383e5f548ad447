//! `/proc/cpuinfo` (arch/x86/kernel/cpu/proc.c): a block of `key : value` lines for each CPU, blocks parted by blank
//! lines. Other architectures have other keys; what a block lacks is an empty label.

use std::path::Path;

use regex::Regex;

use super::fields::{fraction, valid_utf8, words};
use super::filter::pattern;
use super::procfile::{ProcFile, Text};
use crate::config::{Error, Setting, Vars};
use crate::metric::{Family, cpu};
use crate::snapshot::Sink;

/// Keys of the labels of [`cpu::INFO`], in their order.
const LABELS: [&str; 10] = [
    "physical id",
    "core id",
    "processor",
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "microcode",
    "stepping",
    "cache size",
];

/// Reads `/proc/cpuinfo`.
pub struct CpuInfo {
    file: ProcFile,
    flags: Option<Regex>,
    bugs: Option<Regex>,
}

impl CpuInfo {
    /// `flags` and `bugs` choose from the first CPU's words under those keys.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn new(proc: &Path, vars: &Vars, flags: &Setting, bugs: &Setting) -> Result<Self, Error> {
        let file = ProcFile::new(proc.join("cpuinfo"));
        Ok(CpuInfo { file, flags: pattern(vars, flags)?, bugs: pattern(vars, bugs)? })
    }

    /// Whether flags or bugs were asked for.
    pub fn is_filtered(&self) -> bool {
        self.flags.is_some() || self.bugs.is_some()
    }

    pub fn put(&mut self, out: &mut Sink) {
        let text = match self.file.read() {
            Ok(text) => text,
            Err(e) => return out.fault(e.to_string()),
        };
        let mut blocks = blocks(&text).peekable();
        let Some(first) = blocks.peek() else {
            return out.fault(text.offends(text.bytes, "has no processor"));
        };
        put_words(first, "flags", self.flags.as_ref(), &cpu::FLAG_INFO, out);
        put_words(first, "bugs", self.bugs.as_ref(), &cpu::BUG_INFO, out);
        for block in blocks {
            put_block(&block, out);
        }
    }
}

/// Keys and values of one CPU.
type Block<'a> = Vec<(&'a [u8], &'a [u8])>;

fn blocks<'a>(text: &Text<'a>) -> impl Iterator<Item = Block<'a>> + use<'a> {
    let mut lines = text.lines().filter_map(pair).peekable();
    std::iter::from_fn(move || {
        let is_first = |(key, _): &(&[u8], &[u8])| *key == b"processor";
        while lines.next_if(|pair| !is_first(pair)).is_some() {}
        let mut block = vec![lines.next()?];
        while let Some(pair) = lines.next_if(|pair| !is_first(pair)) {
            block.push(pair);
        }
        Some(block)
    })
}

fn pair(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

fn value<'a>(block: &Block<'a>, key: &str) -> Option<&'a [u8]> {
    block.iter().find(|(k, _)| *k == key.as_bytes()).map(|(_, v)| *v)
}

fn put_block(block: &Block, out: &mut Sink) {
    let labels = LABELS.map(|key| valid_utf8(value(block, key).unwrap_or_default()));
    let labels = labels.each_ref().map(|l| &**l);
    out.number(&cpu::INFO, &labels, 1.0);
    if let Some(megahertz) = value(block, "cpu MHz").and_then(fraction) {
        out.number(&cpu::FREQUENCY_HERTZ, &labels[..3], megahertz * 1e6);
    }
}

fn put_words(block: &Block, key: &str, wanted: Option<&Regex>, family: &'static Family, out: &mut Sink) {
    let Some(wanted) = wanted else { return };
    for word in words(value(block, key).unwrap_or_default()) {
        let word = valid_utf8(word);
        if wanted.is_match(&word) {
            out.number(family, &[&word], 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::collect::testing::Host;

    const TEXT: &[u8] = b"processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model name\t: Some CPU @ 1.90GHz
cpu MHz\t\t: 799.998
physical id\t: 0
core id\t\t: 3
flags\t\t: fpu aes avx2
bugs\t\t: mds swapgs
power management:

processor\t: 1
flags\t\t: aes
";

    fn lines(vars: &[(&str, &str)]) -> Vec<String> {
        let lines = Host::new(&[("proc/stat", b"cpu0 1 1 1 1\n"), ("proc/cpuinfo", TEXT)]).read("cpu", vars).lines;
        lines[4..].to_vec()
    }

    #[test]
    fn a_block_for_each_cpu() {
        assert!(lines(&[]).is_empty());
        let lines = lines(&[("KANARY_CPU_INFO", "true")]);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains(r#"core="3",cpu="0",vendor="GenuineIntel",family="6",model="","#), "{}", lines[0]);
        assert_eq!(lines[2], r#"node_cpu_frequency_hertz{package="0",core="3",cpu="0"} 799998000"#);
    }

    #[test]
    fn words_of_the_first_cpu() {
        let lines = lines(&[("KANARY_CPU_INFO_FLAGS_INCLUDE", "^a"), ("KANARY_CPU_INFO_BUGS_INCLUDE", "mds")]);
        assert_eq!(
            lines[..3],
            [
                r#"node_cpu_flag_info{flag="aes"} 1"#,
                r#"node_cpu_flag_info{flag="avx2"} 1"#,
                r#"node_cpu_bug_info{bug="mds"} 1"#,
            ]
        );
        assert_eq!(lines.len(), 6);
    }
}
