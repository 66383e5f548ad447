//! Numbers as Prometheus' text formats and Go write them: the shortest digits that give the same float64 back,
//! an exponent of at least two digits below 1e-4 and from 1e21.
//!
//! But -0 is written as 0: protobuf cannot tell them apart, and all formats must agree.

const EXPONENT_FROM: f64 = 1e21;
const EXPONENT_BELOW: f64 = 1e-4;
/// Integers below are exact in a float64 and written without going through the shortest-digits search.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// Appends a sample value.
pub fn write(v: f64, out: &mut Vec<u8>) {
    let size = v.abs();
    if size < EXACT_INTEGERS && v.trunc() == v {
        write_integer(v as i64, out);
    } else if v.is_finite() {
        let mut digits = ryu::Buffer::new();
        let digits = digits.format_finite(v);
        if (EXPONENT_BELOW..1e15).contains(&size) {
            out.extend_from_slice(digits.as_bytes());
        } else {
            write_extreme(digits, size, out);
        }
    } else {
        out.extend_from_slice(if v.is_nan() {
            b"NaN"
        } else if v > 0.0 {
            b"+Inf"
        } else {
            b"-Inf"
        });
    }
}

/// Appends a whole number.
pub fn write_integer(v: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
}

/// Rewrites ryu's `[-]1.2345e-7`, `[-]0.0000123` or `[-]12345.0` with Go's rules.
fn write_extreme(text: &str, size: f64, out: &mut Vec<u8>) {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0');
    // Decimal exponent of the first significant digit.
    let point = exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - leading as i32 - 1;
    if negative {
        out.push(b'-');
    }
    if digits.is_empty() {
        out.push(b'0');
    } else if (EXPONENT_BELOW..EXPONENT_FROM).contains(&size) {
        write_whole(digits, point, out);
    } else {
        write_scientific(digits, point, out);
    }
}

/// Digits padded with zeros up to the decimal point; sizes from 1e15 have no more than 17 digits, one of them at most
/// behind the point.
fn write_whole(digits: &str, point: i32, out: &mut Vec<u8>) {
    let before = point as usize + 1;
    let (whole, fraction) = digits.split_at(before.min(digits.len()));
    out.extend_from_slice(whole.as_bytes());
    out.resize(out.len() + before - whole.len(), b'0');
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

fn write_scientific(digits: &str, point: i32, out: &mut Vec<u8>) {
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first.as_bytes());
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest.as_bytes());
    }
    out.extend_from_slice(if point < 0 { b"e-" } else { b"e+" });
    if point.abs() < 10 {
        out.push(b'0');
    }
    write_integer(i64::from(point.abs()), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(v: f64) -> String {
        let mut out = Vec::new();
        write(v, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_what_go_writes() {
        let table = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-16.0, "-16"),
            (0.25, "0.25"),
            (1418183276.0, "1418183276"),
            (9653.880000000001, "9653.880000000001"),
            (0.0001, "0.0001"),
            (0.000244140625, "0.000244140625"),
            (0.00001, "1e-05"),
            (9.5367431640625e-07, "9.5367431640625e-07"),
            (-1.5e-10, "-1.5e-10"),
            (1e-300, "1e-300"),
            (1.5e15 + 0.5, "1500000000000000.5"),
            (9007199254740992.0, "9007199254740992"),
            (18446744073709551615.0, "18446744073709552000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.25e22, "-1.25e+22"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (v, want) in table {
            assert_eq!(text(v), want);
        }
    }

    proptest! {
        #[test]
        fn every_float_comes_back(bits: u64) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite() && bits != (-0.0f64).to_bits());
            prop_assert_eq!(text(v).parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn everyday_floats_come_back(v in -1e17..1e17f64, scale in 0i32..30) {
            let v = v / 10f64.powi(scale);
            prop_assert_eq!(text(v).parse::<f64>().unwrap().to_bits(), v.to_bits());
        }
    }
}
