//! Runs the parts, catches what goes wrong in them, and says how they are.
//!
//! A part that panics is started again; each start but the first is counted. State that a part shares with others is
//! replaced, not repaired, after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// How one part is doing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Component {
    pub component: &'static str,
    pub up: bool,
    pub restarts: u64,
    /// Why it is down, or was last restarted; empty when it never failed.
    pub reason: String,
}

static COMPONENTS: Mutex<Vec<Component>> = Mutex::new(Vec::new());

fn update(name: &'static str, change: impl FnOnce(&mut Component)) {
    let mut all = COMPONENTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let at = all.iter().position(|c| c.component == name).unwrap_or_else(|| {
        all.push(Component { component: name, up: false, restarts: 0, reason: String::new() });
        all.len() - 1
    });
    change(&mut all[at]);
}

/// Every part that was ever started, in the order of their first start.
pub fn components() -> Vec<Component> {
    COMPONENTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

/// The part runs.
pub fn up(name: &'static str) {
    update(name, |c| c.up = true);
}

/// The part does not run, and why.
pub fn down(name: &'static str, reason: impl Into<String>) {
    let reason = reason.into();
    update(name, |c| {
        c.up = false;
        c.reason = reason;
    });
}

/// The part failed and was started anew.
pub fn restarted(name: &'static str, reason: impl Into<String>) {
    let reason = reason.into();
    tracing::error!(component = name, reason, "restarted");
    update(name, |c| {
        c.up = true;
        c.restarts += 1;
        c.reason = reason;
    });
}

/// Runs `work`; a panic becomes its message.
///
/// # Errors
/// The panic's message when `work` panicked. The caller replaces whatever `work` was changing.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        format!("panicked: {}", text.unwrap_or_else(|| "no message".into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guard(|| 1), Ok(1));
        assert_eq!(guard(|| panic!("at {}", 7)), Err::<(), _>("panicked: at 7".into()));
    }

    #[test]
    fn components_count_their_restarts() {
        up("test-part");
        restarted("test-part", "why");
        down("test-part", "gone");
        let part = components().into_iter().find(|c| c.component == "test-part").unwrap();
        assert_eq!(part, Component { component: "test-part", up: false, restarts: 1, reason: "gone".into() });
    }
}
