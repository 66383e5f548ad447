//! The environment as it was at the start, and what a setting is.

use std::collections::BTreeMap;

/// One environment variable.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// As a user would write it; empty = none.
    pub default: &'static str,
    /// What a user may write, for the error message.
    pub allowed: &'static str,
    pub meaning: &'static str,
}

impl Setting {
    pub const fn new(name: &'static str, default: &'static str, allowed: &'static str, meaning: &'static str) -> Self {
        Setting { name, default, allowed, meaning }
    }
}

/// A value that cannot be used. One line: variable, value, what is wrong, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: {fault}; allowed: {allowed}")]
pub struct Error {
    pub name: String,
    pub value: String,
    pub fault: String,
    pub allowed: String,
}

/// The environment, empty values left out.
#[derive(Debug, Clone, Default)]
pub struct Vars(BTreeMap<String, String>);

impl Vars {
    /// The process environment. A value that is not UTF-8 is kept with replacement characters, so that it is
    /// reported like any other bad value.
    pub fn from_env() -> Self {
        std::env::vars_os().map(|(k, v)| (k.to_string_lossy().into(), v.to_string_lossy().into())).collect()
    }
    /// What the user set, if anything.
    pub fn set(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
    /// What applies: the user's value or the default; `None` when both are empty.
    pub fn get(&self, setting: &Setting) -> Option<&str> {
        self.set(setting.name).or(Some(setting.default)).filter(|v| !v.is_empty())
    }
    /// The value as `parse` understands it.
    ///
    /// # Errors
    /// When `parse` refuses it; the text says why.
    pub fn parse<T>(&self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, Error> {
        let value = self.get(setting).unwrap_or("");
        parse(value).map_err(|fault| Error {
            name: setting.name.into(),
            value: value.into(),
            fault,
            allowed: setting.allowed.into(),
        })
    }
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Vars {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(vars: I) -> Self {
        Vars(vars.into_iter().filter(|(_, v)| !v.is_empty()).collect())
    }
}
