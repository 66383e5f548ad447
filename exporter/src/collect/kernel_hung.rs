//! `/proc/sys/kernel/hung_task_detect_count` (kernel/hung_task.c, Linux 6.15): tasks found waiting too long.

use super::fields::count;
use super::procfile::{ProcFile, Unreadable};
use super::{Collector, Error, Row};
use crate::metric::system;
use crate::snapshot::Sink;

pub const ROW: Row = Row {
    id: "kernel_hung",
    default: true,
    options: &[],
    build: |setup| {
        let file = ProcFile::value(setup.config.paths.proc.join("sys/kernel/hung_task_detect_count"));
        Ok(Box::new(KernelHung { file }))
    },
};

struct KernelHung {
    file: ProcFile,
}

impl Collector for KernelHung {
    fn collect(&mut self, out: &mut Sink) -> Result<(), Error> {
        let text = self.file.read().map_err(Unreadable::or_absent)?;
        let tasks = count(text.bytes.trim_ascii()).ok_or_else(|| text.failed(text.bytes, "is not a count"))?;
        out.number(&system::HUNG_TASKS_TOTAL, &[], tasks);
        out.number(&system::HUNG_TASKS, &[], tasks);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::Host;

    #[test]
    fn both_names() {
        let host = Host::new(&[("proc/sys/kernel/hung_task_detect_count", b"42\n")]);
        let expected = ["node_kernel_hung_tasks_total 42", "node_kernel_hung_tasks 42"];
        assert_eq!(host.read("kernel_hung", &[]).lines, expected);
        assert!(matches!(Host::new(&[]).read("kernel_hung", &[]).error, Some(Error::Absent(_))));
        host.write("proc/sys/kernel/hung_task_detect_count", b"many\n");
        assert!(matches!(host.read("kernel_hung", &[]).error, Some(Error::Failed(_))));
    }
}
