//! SELinux: whether it is there, what it does (`/sys/fs/selinux/enforce`, security/selinux/selinuxfs.c) and what it is
//! to do after a boot (`SELINUX=enforcing` of `/etc/selinux/config`). Enforcing is 1, permissive 0, disabled -1.

use super::attribute::Attribute;
use super::procfile::ProcFile;
use super::{Collector, Error, Row};
use crate::metric::system;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "selinux",
    default: true,
    options: &[],
    build: |setup| {
        let paths = &setup.config.paths;
        Ok(Box::new(SeLinux {
            enforce: Attribute::number(paths.sys.join("fs/selinux/enforce")),
            config: ProcFile::new(paths.rootfs.join("etc/selinux/config")),
        }))
    },
};

const DISABLED: f64 = -1.0;

struct SeLinux {
    enforce: Attribute,
    config: ProcFile,
}

impl Collector for SeLinux {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let Some(current) = self.enforce.read().map_err(Error::Failed)?.and_then(|value| value.number()) else {
            out.number(&system::SELINUX_ENABLED, &[], 0.0);
            return Ok(());
        };
        out.number(&system::SELINUX_ENABLED, &[], 1.0);
        out.number(&system::SELINUX_CURRENT, &[], current);
        let configured = match self.config.read() {
            Ok(text) => mode(text.bytes),
            Err(e) if e.is_absence() => DISABLED,
            Err(e) => {
                out.fault(e.to_string());
                return Ok(());
            }
        };
        out.number(&system::SELINUX_CONFIG, &[], configured);
        Ok(())
    }
}

/// The mode that `SELINUX=` names last; disabled when it names none, as for libselinux.
fn mode(config: &[u8]) -> f64 {
    let mut values = config.split(|b| *b == b'\n').filter_map(|line| line.trim_ascii().strip_prefix(b"SELINUX="));
    match values.next_back().unwrap_or_default().trim_ascii() {
        b"enforcing" => 1.0,
        b"permissive" => 0.0,
        _ => DISABLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;
    use proptest::prelude::*;

    #[test]
    fn modes() {
        assert_eq!(Host::new(&[]).read("selinux", &[]).lines, ["node_selinux_enabled 0"]);
        let host = Host::new(&[
            ("sys/fs/selinux/enforce", b"1"),
            ("root/etc/selinux/config", b"# SELINUX=disabled\nSELINUX=permissive\nSELINUXTYPE=targeted\n"),
        ]);
        let expected = ["node_selinux_enabled 1", "node_selinux_current_mode 1", "node_selinux_config_mode 0"];
        assert_eq!(host.read("selinux", &[]).lines, expected);
        host.write("sys/fs/selinux/enforce", b"?");
        assert!(matches!(host.read("selinux", &[]).error, Some(Error::Failed(_))));
        assert_eq!((mode(b""), mode(b"SELINUX=enforcing\n")), (-1.0, 1.0));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            mode(&text);
        }
    }
}
