//! What this host allows: facts first, then the rules as a pure function of them.

use std::error::Error;
use std::path::Path;
use std::{fs, io, iter};

use rustix::thread::CapabilitySet;

use super::{Refusal, Verdict};

/// The kernel's description of its own types.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";
/// include/linux/proc_ns.h: PROC_PID_INIT_INO, the first PID namespace.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
/// `bpf_get_current_task_btf` came with it.
const OLDEST_KERNEL: (u32, u32) = (5, 11);

/// All that decides whether programs can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Major and minor; `None` when the release text is of no known form.
    pub kernel: Option<(u32, u32)>,
    pub btf: bool,
    pub capabilities: CapabilitySet,
    /// `none [integrity] confidentiality`; empty without the lockdown module.
    pub lockdown: String,
}

impl Facts {
    pub fn of_this_host() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Facts {
            kernel: version(&release),
            btf: Path::new(BTF).exists(),
            capabilities: rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |c| c.effective),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default(),
        }
    }

    /// Why nothing can be loaded here, if that is so.
    pub fn refusal(&self) -> Option<Refusal> {
        if let Some((major, minor)) = self.kernel
            && (major, minor) < OLDEST_KERNEL
        {
            let reason = format!("Linux {major}.{minor} has no bpf_get_current_task_btf: 5.11 has");
            return Some(Refusal::new(Verdict::UnsupportedKernel, reason));
        }
        if !self.btf {
            let reason =
                format!("no {BTF}: the kernel was built without CONFIG_DEBUG_INFO_BTF, or /sys is not mounted");
            return Some(Refusal::new(Verdict::NoBtf, reason));
        }
        if let Some(missing) = missing(self.capabilities) {
            return Some(Refusal::new(Verdict::NoPermission, format!("lacks {missing}")));
        }
        if self.lockdown.contains("[confidentiality]") {
            return Some(Refusal::new(Verdict::NoPermission, "the kernel is locked down: confidentiality"));
        }
        None
    }
}

/// Capabilities that loading a tracing program takes and that are not held.
fn missing(held: CapabilitySet) -> Option<String> {
    if held.contains(CapabilitySet::SYS_ADMIN) {
        return None;
    }
    let needed = [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")];
    let missing: Vec<&str> = needed.iter().filter(|(c, _)| !held.contains(*c)).map(|(_, name)| *name).collect();
    (!missing.is_empty()).then(|| missing.join(" and "))
}

/// `6.1.0-18-amd64` as (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What a failure to load or attach means.
pub fn refusal(what: &str, error: &(dyn Error + 'static)) -> Refusal {
    let causes = || iter::successors(Some(error), |&e| e.source());
    let kernel = causes().find_map(|e| e.downcast_ref::<io::Error>());
    // The verifier refuses programs with EACCES; EPERM is about who loads them.
    let verdict = match kernel.and_then(io::Error::raw_os_error) {
        Some(code) if code == rustix::io::Errno::PERM.raw_os_error() => Verdict::NoPermission,
        _ => Verdict::Failed,
    };
    let text = causes().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let line: String = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect::<Vec<_>>().join(" ");
    Refusal::new(verdict, format!("{what}: {}", line.chars().take(400).collect::<String>()))
}

/// This process's id as the kernel programs see it; `None` in a PID namespace from which the host's cannot be seen.
pub fn own_tgid(proc: &Path) -> Option<u32> {
    if fs::read_link("/proc/self/ns/pid").is_ok_and(|ns| ns.as_os_str() == FIRST_PID_NAMESPACE) {
        return Some(std::process::id());
    }
    // A procfs of the first namespace names this process by its id there.
    let is_hosts = fs::read_to_string(proc.join("2/comm")).is_ok_and(|c| c.trim_end() == "kthreadd");
    is_hosts.then(|| fs::read_link(proc.join("self")).ok()?.to_str()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able() -> Facts {
        Facts {
            kernel: Some((6, 1)),
            btf: true,
            capabilities: CapabilitySet::BPF | CapabilitySet::PERFMON,
            lockdown: "[none] integrity confidentiality\n".into(),
        }
    }

    #[test]
    fn a_host_with_btf_and_both_capabilities_will_do() {
        assert_eq!(able().refusal(), None);
        assert_eq!(Facts { capabilities: CapabilitySet::SYS_ADMIN, ..able() }.refusal(), None);
    }

    #[test]
    fn the_reason_names_what_is_missing() {
        let refusal = |facts: Facts| facts.refusal().unwrap().to_string();
        assert_eq!(
            refusal(Facts { capabilities: CapabilitySet::empty(), ..able() }),
            "no_permission: lacks CAP_BPF and CAP_PERFMON"
        );
        assert_eq!(refusal(Facts { capabilities: CapabilitySet::BPF, ..able() }), "no_permission: lacks CAP_PERFMON");
        assert!(refusal(Facts { btf: false, ..able() }).starts_with("no_btf: no /sys/kernel/btf/vmlinux"));
        assert!(refusal(Facts { kernel: Some((5, 10)), ..able() }).starts_with("unsupported_kernel: Linux 5.10"));
        assert!(
            refusal(Facts { lockdown: "none integrity [confidentiality]".into(), ..able() })
                .starts_with("no_permission: the kernel is locked down")
        );
    }

    #[test]
    fn release_texts() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("7.2-rc3"), Some((7, 2)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn only_eperm_is_about_permission() {
        let verdict = |code| refusal("load", &io::Error::from_raw_os_error(code)).verdict;
        assert_eq!(verdict(1), Verdict::NoPermission);
        assert_eq!(verdict(13), Verdict::Failed);
    }
}
