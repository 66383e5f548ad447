//! Query parameters: known or refused.

use std::str::FromStr;

use super::answer::Fault;
use crate::expose::Want;

/// Name and value.
pub type Pair = (String, String);

/// The pairs of a query string, in order.
///
/// # Errors
/// When a name is none of `known`.
pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Vec<Pair>, Fault> {
    let pairs: Vec<Pair> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(pairs),
        Some((name, _)) if known.is_empty() => {
            Err(Fault::bad(format!("unknown parameter `{name}`: none is known here")))
        }
        Some((name, _)) => Err(Fault::bad(format!("unknown parameter `{name}`: known are {}", known.join(", ")))),
    }
}

/// The number called `name`, or `default`.
///
/// # Errors
/// When it is given twice, no number, or outside of 1..=`most`.
pub fn number(pairs: &[Pair], name: &str, default: usize, most: usize) -> Result<usize, Fault> {
    let mut values = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v);
    let Some(value) = values.next() else { return Ok(default) };
    match usize::from_str(value) {
        Ok(n) if (1..=most).contains(&n) && values.next().is_none() => Ok(n),
        _ => Err(Fault::bad(format!("`{name}={value}`: give one number from 1 to {most}"))),
    }
}

/// What `collect[]` and `exclude[]` ask for.
///
/// # Errors
/// When both are given, or a collector that is not exposed.
pub fn want(pairs: &[Pair], exposed: &[&'static str]) -> Result<Want, Fault> {
    let only = ids(pairs, "collect[]", exposed)?;
    let except = ids(pairs, "exclude[]", exposed)?;
    match (only.is_empty(), except.is_empty()) {
        (true, true) => Ok(Want::Exposed),
        (false, true) => Ok(Want::Only(only)),
        (true, false) => Ok(Want::Except(except)),
        (false, false) => Err(Fault::bad("collect[] and exclude[] cannot be combined")),
    }
}

fn ids(pairs: &[Pair], name: &str, exposed: &[&'static str]) -> Result<Vec<&'static str>, Fault> {
    let find = |id: &String| {
        exposed.iter().find(|e| *e == id).copied().ok_or_else(|| {
            Fault::bad(format!("{name}={id}: unknown or disabled collector; allowed are {}", exposed.join(", ")))
        })
    };
    let mut ids = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| find(v)).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["collect[]", "exclude[]"];
    const EXPOSED: &[&str] = &["cpu", "meminfo"];

    fn wanted(query: &str) -> Result<Want, String> {
        parse(Some(query), KNOWN).and_then(|p| want(&p, EXPOSED)).map_err(|f| f.error)
    }

    #[test]
    fn collectors_are_chosen_by_name() {
        assert_eq!(wanted(""), Ok(Want::Exposed));
        assert_eq!(wanted("collect[]=meminfo&collect%5B%5D=cpu&collect[]=cpu"), Ok(Want::Only(vec!["cpu", "meminfo"])));
        assert_eq!(wanted("exclude[]=cpu"), Ok(Want::Except(vec!["cpu"])));
    }

    #[test]
    fn refusals_name_the_fault() {
        assert_eq!(wanted("collect[]=cpu&exclude[]=cpu"), Err("collect[] and exclude[] cannot be combined".into()));
        assert_eq!(
            wanted("collect[]=zfs"),
            Err("collect[]=zfs: unknown or disabled collector; allowed are cpu, meminfo".into())
        );
        assert_eq!(wanted("colect[]=cpu"), Err("unknown parameter `colect[]`: known are collect[], exclude[]".into()));
    }

    #[test]
    fn numbers_have_a_range() {
        let get = |q: &str| parse(Some(q), &["limit"]).and_then(|p| number(&p, "limit", 100, 1000));
        assert_eq!(get(""), Ok(100));
        assert_eq!(get("limit=7"), Ok(7));
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1", "limit=1&limit=2"] {
            assert!(get(bad).is_err(), "{bad}");
        }
    }
}
