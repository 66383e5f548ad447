//! Files that hold one value each, as those of sysfs do: a number, or text for a label.

use std::path::PathBuf;

use compact_str::CompactString;

use super::fields::{fraction, valid_utf8};
use super::procfile::ProcFile;
use crate::metric::Family;
use crate::snapshot::Sink;

/// One such file.
#[derive(Debug)]
pub struct Attribute {
    file: ProcFile,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    Number,
    Text,
    /// Text that stays what it is: read until it was read once.
    Constant(Option<CompactString>),
}

/// What a file holds, without blanks around it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Number(f64),
    Text(CompactString),
}

/// How a kernel's unit becomes Prometheus': a factor and a divisor, because a division by 1000 and a multiplication by
/// 0.001 differ in the last bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    by: f64,
    over: f64,
}

impl Scale {
    pub const ONE: Scale = Scale::by(1.0);
    pub const fn by(by: f64) -> Self {
        Scale { by, over: 1.0 }
    }
    pub const fn over(over: f64) -> Self {
        Scale { by: 1.0, over }
    }
    pub fn of(self, value: f64) -> f64 {
        value * self.by / self.over
    }
}

impl Value {
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n),
            Value::Text(_) => None,
        }
    }
    /// Empty for a number.
    pub fn text(&self) -> &str {
        match self {
            Value::Number(_) => "",
            Value::Text(text) => text,
        }
    }
}

impl Attribute {
    pub fn number(path: impl Into<PathBuf>) -> Self {
        Attribute { file: ProcFile::value(path), holds: Holds::Number }
    }
    pub fn text(path: impl Into<PathBuf>) -> Self {
        Attribute { file: ProcFile::value(path), holds: Holds::Text }
    }
    pub fn constant(path: impl Into<PathBuf>) -> Self {
        Attribute { file: ProcFile::value(path), holds: Holds::Constant(None) }
    }

    /// The value; `None` when there is none: no such file, nothing in it, or no device to ask.
    ///
    /// # Errors
    /// When it cannot be read or is no number: path and reason.
    pub fn read(&mut self) -> Result<Option<Value>, String> {
        if let Holds::Constant(Some(known)) = &self.holds {
            return Ok(Some(Value::Text(known.clone())));
        }
        let text = match self.file.read() {
            Ok(text) => text,
            Err(e) if e.is_absence() => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        let bytes = text.bytes.trim_ascii();
        match &mut self.holds {
            Holds::Number if bytes.is_empty() => Ok(None),
            Holds::Number => match fraction(bytes) {
                Some(number) => Ok(Some(Value::Number(number))),
                None => Err(text.offends(bytes, "is no number")),
            },
            Holds::Text => Ok(Some(Value::Text(valid_utf8(bytes).into()))),
            Holds::Constant(known) => {
                let text = CompactString::from(valid_utf8(bytes));
                *known = Some(text.clone());
                self.file.release();
                Ok(Some(Value::Text(text)))
            }
        }
    }

    /// The same; a failure is noted.
    pub fn take(&mut self, out: &mut Sink) -> Option<Value> {
        self.read().unwrap_or_else(|fault| {
            out.fault(fault);
            None
        })
    }

    /// The number; a failure is noted.
    pub fn take_number(&mut self, out: &mut Sink) -> Option<f64> {
        self.take(out)?.number()
    }

    /// The text, empty when it is not known; a failure is noted.
    pub fn take_text(&mut self, out: &mut Sink) -> CompactString {
        self.take(out).map(|value| value.text().into()).unwrap_or_default()
    }

    /// Puts the number, if it is known.
    pub fn put(&mut self, family: &'static Family, labels: &[&str], scale: Scale, out: &mut Sink) {
        if let Some(number) = self.take_number(out) {
            out.number(family, labels, scale.of(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        file
    }

    #[test]
    fn numbers_have_signs_and_fractions_and_blanks_around_them() {
        let read = |text: &str| {
            let file = file(text.as_bytes());
            Attribute::number(file.path()).read()
        };
        assert_eq!(read(" -12\n"), Ok(Some(Value::Number(-12.0))));
        assert_eq!(read("0.5"), Ok(Some(Value::Number(0.5))));
        assert_eq!(read("\n"), Ok(None));
        assert!(read("<unknown>\n").unwrap_err().contains("`<unknown>` is no number"));
    }

    #[test]
    fn a_constant_is_read_once() {
        let file = file(b"");
        let mut label = Attribute::constant(file.path());
        std::fs::write(&file, b"Core \xff\xfe 0\n").unwrap();
        assert_eq!(label.read().unwrap().unwrap().text(), "Core \u{fffd} 0");
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(label.read().unwrap().unwrap().text(), "Core \u{fffd} 0");
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(Attribute::text(file.path()).read().unwrap().unwrap().text(), "other");
    }

    #[test]
    fn scales_are_node_exporters_to_the_last_bit() {
        assert_eq!(Scale::by(0.001).of(9653880.0), 9653880.0 * 0.001);
        assert_eq!(Scale::over(1e6).of(45070000.0), 45.07);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let file = file(&bytes);
            let _ = (Attribute::number(file.path()).read(), Attribute::text(file.path()).read());
        }
        #[test]
        fn integers_round_trip(n: i32) {
            let file = file(format!("{n}\n").as_bytes());
            prop_assert_eq!(Attribute::number(file.path()).read(), Ok(Some(Value::Number(n.into()))));
        }
    }
}
