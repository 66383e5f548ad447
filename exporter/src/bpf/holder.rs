//! One kanary per host: who is attached already?
//!
//! Two signs, both of which vanish with the process. An abstract socket, bound first: free of cost and privileges, but
//! each network namespace has its own. The kernel's list of loaded programs: sees all namespaces, needs
//! CAP_SYS_ADMIN. Program ids ascend, so of two that start at once the lower id stays.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use std::{fs, io};

use aya::programs::loaded_programs;

use super::{Refusal, Verdict};

const SOCKET: &str = "kanary/bpf";
/// A program outlives its process until the kernel has waited for all who may run it.
const GRACE: Duration = Duration::from_secs(2);

/// Held while this process is the one that attaches.
pub struct Claim {
    _socket: Option<UnixListener>,
}

impl Claim {
    /// # Errors
    /// Busy, when another kanary of this network namespace has it.
    pub fn take() -> Result<Self, Refusal> {
        let bound = SocketAddr::from_abstract_name(SOCKET).and_then(|a| UnixListener::bind_addr(&a));
        match bound {
            Ok(socket) => Ok(Claim { _socket: Some(socket) }),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(busy(listener())),
            Err(_) => Ok(Claim { _socket: None }),
        }
    }
}

/// Process that listens on the socket.
fn listener() -> Option<u32> {
    let socket = SocketAddr::from_abstract_name(SOCKET).and_then(|a| UnixStream::connect_addr(&a)).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

/// Refuses when a program of this name was loaded before the one with `id`.
///
/// # Errors
/// Busy, naming the process when it can be found.
pub fn refuse_second(name: &str, id: u32, proc: &Path) -> Result<(), Refusal> {
    let step = Duration::from_millis(50);
    for _ in 0..GRACE.as_millis() / step.as_millis() {
        let Some(earlier) = earliest(name).filter(|earliest| *earliest < id) else { return Ok(()) };
        if let Some(holder) = holder(earlier, proc) {
            return Err(busy(Some(holder)));
        }
        sleep(step);
    }
    Err(busy(None))
}

fn busy(holder: Option<u32>) -> Refusal {
    let who = holder.map_or("a process that cannot be seen from here".into(), |pid| format!("process {pid}"));
    Refusal::new(Verdict::Busy, format!("another kanary is attached: {who}"))
}

/// Lowest id of the loaded programs of this name; `None` also when the list may not be read.
fn earliest(name: &str) -> Option<u32> {
    loaded_programs().filter_map(Result::ok).filter(|p| p.name() == name.as_bytes()).map(|p| p.id()).min()
}

/// A process with a descriptor of the program.
fn holder(program: u32, proc: &Path) -> Option<u32> {
    let line = format!("prog_id:\t{program}\n");
    let processes = fs::read_dir(proc).ok()?.flatten();
    processes.filter_map(|e| e.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
        let folder = proc.join(pid.to_string());
        let Ok(fds) = fs::read_dir(folder.join("fd")) else { return false };
        fds.flatten()
            .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:bpf-prog"))
            .any(|fd| fs::read_to_string(folder.join("fdinfo").join(fd.file_name())).is_ok_and(|t| t.contains(&line)))
    })
}
