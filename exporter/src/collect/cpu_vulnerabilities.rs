//! What the kernel does about flaws of the processor: `/sys/devices/system/cpu/vulnerabilities`
//! (Documentation/ABI/testing/sysfs-devices-system-cpu). `mds` holds `Mitigation: Clear CPU buffers; SMT vulnerable`.

use std::borrow::Cow;

use compact_str::CompactString;

use super::attribute::Attribute;
use super::listing::Listing;
use super::procfile::Unreadable;
use super::{Collector, Error, Row};
use crate::metric::cpu;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "cpu_vulnerabilities",
    default: false,
    options: &[],
    build: |setup| {
        let dir = Listing::new(setup.config.paths.sys.join("devices/system/cpu/vulnerabilities"));
        Ok(Box::new(Vulnerabilities { dir, known: Vec::new() }))
    },
};

struct Vulnerabilities {
    dir: Listing,
    known: Vec<(CompactString, Attribute)>,
}

impl Collector for Vulnerabilities {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        if self.dir.has_changed().map_err(Unreadable::or_absent)? {
            let file = |name: &str| (name.into(), Attribute::text(self.dir.path().join(name)));
            self.known = self.dir.names().into_iter().map(file).collect();
        }
        for (name, file) in &mut self.known {
            if let Some(value) = file.take(out) {
                let (state, mitigation) = parse(value.text());
                out.number(&cpu::VULNERABILITY, &[name, state, &mitigation], 1.0);
            }
        }
        Ok(())
    }
}

const STATES: [&str; 4] = ["not affected", "vulnerable", "mitigation", "unknown"];

/// State, and what is done or lacking: the words after the first. A text of another form is unknown, and kept.
fn parse(text: &str) -> (&'static str, Cow<'_, str>) {
    let begins = |state: &&str| text.get(..state.len()).is_some_and(|start| start.eq_ignore_ascii_case(state));
    match STATES.into_iter().find(begins) {
        Some(state @ "not affected") => (state, "".into()),
        Some(state) => (state, text.split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ").into()),
        None => ("unknown", text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn states_and_mitigations() {
        let host = Host::new(&[
            ("sys/devices/system/cpu/vulnerabilities/l1tf", b"Not affected\n"),
            ("sys/devices/system/cpu/vulnerabilities/mds", b"Vulnerable: No microcode; SMT off\n"),
            ("sys/devices/system/cpu/vulnerabilities/spectre_v1", b"Mitigation: usercopy  barriers\n"),
        ]);
        let expected = [
            r#"node_cpu_vulnerabilities_info{codename="l1tf",state="not affected",mitigation=""} 1"#,
            r#"node_cpu_vulnerabilities_info{codename="mds",state="vulnerable",mitigation="No microcode; SMT off"} 1"#,
            r#"node_cpu_vulnerabilities_info{codename="spectre_v1",state="mitigation",mitigation="usercopy barriers"} 1"#,
        ];
        assert_eq!(host.read("cpu_vulnerabilities", &[]).lines, expected);
        assert_eq!(parse("KVM: Mitigation: VMX disabled"), ("unknown", "KVM: Mitigation: VMX disabled".into()));
        assert!(matches!(Host::new(&[]).read("cpu_vulnerabilities", &[]).error, Some(Error::Absent(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            parse(&text);
        }
    }
}
