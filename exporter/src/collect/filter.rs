//! Include and exclude patterns: node_exporter's `--collector.<x>.<y>-include` and `-exclude`.

use regex::{Regex, RegexBuilder};

use crate::config::{Error, Setting, Vars};

/// Largest compiled pattern and automaton cache: patterns judge a few names, each once.
const PATTERN_LIMIT: usize = 1 << 20;

/// Which names pass.
#[derive(Debug, Default)]
pub struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
}

impl Filter {
    /// Reads both settings. The default of `exclude` holds only while nothing is included.
    ///
    /// # Errors
    /// When a pattern is none, or both were set.
    pub fn new(vars: &Vars, include: &Setting, exclude: &Setting) -> Result<Self, Error> {
        match (vars.set(include.name), vars.set(exclude.name)) {
            (Some(value), Some(_)) => Err(Error {
                name: include.name.into(),
                value: value.into(),
                fault: format!("{} is set too", exclude.name),
                allowed: "one of the two".into(),
            }),
            (Some(_), None) => Ok(Filter { include: pattern(vars, include)?, exclude: None }),
            (None, _) => Ok(Filter { include: None, exclude: pattern(vars, exclude)? }),
        }
    }

    pub fn passes(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|p| p.is_match(name))
            && !self.exclude.as_ref().is_some_and(|p| p.is_match(name))
    }
}

/// The regular expression of a setting, if it has one.
///
/// # Errors
/// When it is none; one line.
pub fn pattern(vars: &Vars, setting: &Setting) -> Result<Option<Regex>, Error> {
    vars.parse(setting, |value| if value.is_empty() { Ok(None) } else { compile(value).map(Some) })
}

fn compile(value: &str) -> Result<Regex, String> {
    RegexBuilder::new(value)
        .size_limit(PATTERN_LIMIT)
        .dfa_size_limit(PATTERN_LIMIT)
        .build()
        .map_err(|e| format!("no regular expression: {}", e.to_string().lines().last().unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCLUDE: Setting = Setting::new("KANARY_X_INCLUDE", "", "a regular expression", "");
    const EXCLUDE: Setting = Setting::new("KANARY_X_EXCLUDE", "^lo$", "a regular expression", "");

    fn filter(pairs: &[(&str, &str)]) -> Result<Filter, Error> {
        let vars = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Filter::new(&vars, &INCLUDE, &EXCLUDE)
    }

    #[test]
    fn the_default_exclusion_gives_way_to_an_inclusion() {
        assert!(!filter(&[]).unwrap().passes("lo"));
        let only = filter(&[("KANARY_X_INCLUDE", "^lo$")]).unwrap();
        assert!(only.passes("lo") && !only.passes("eth0"));
        assert!(filter(&[("KANARY_X_EXCLUDE", "eth")]).unwrap().passes("lo"));
    }

    #[test]
    fn both_or_a_bad_pattern_is_one_line() {
        let both = filter(&[("KANARY_X_INCLUDE", "a"), ("KANARY_X_EXCLUDE", "b")]).unwrap_err().to_string();
        assert_eq!(both, "KANARY_X_INCLUDE=a: KANARY_X_EXCLUDE is set too; allowed: one of the two");
        let bad = filter(&[("KANARY_X_INCLUDE", "a(")]).unwrap_err().to_string();
        assert!(bad.contains("no regular expression") && !bad.contains('\n'), "{bad}");
    }
}
