//! Programs and maps of `bpf/syscalls.bpf.c`.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use aya::maps::{Array, Map};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, EbpfLoader};

use super::abi::{Control, Losses, MASK_NEVER, PerCpu, Shared, StartSet};
use super::holder::{Claim, refuse_second};
use super::host::{Facts, own_tgid, refusal};
use super::mapped::{Mapped, size};
use super::misses::Misses;
use super::{Refusal, Status, Verdict};
use crate::config::{SAMPLED_ONE_IN, SyscallMode};

/// Name, hook and tracepoint of each program. The second one runs in every mode.
pub const PROGRAMS: [(&str, &str, &str); 2] =
    [("kanary_sysenter", "tp_btf/sys_enter", "sys_enter"), ("kanary_sysexit", "tp_btf/sys_exit", "sys_exit")];

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/syscalls.bpf.o"));

/// Start places per CPU, and at least so many in all.
const STARTS_PER_CPU: usize = 4096;
const STARTS_AT_LEAST: usize = 8192;

/// Map of the settings; the others are named after their variables, too.
const CONTROL: &str = ".bss.control";

/// Memory that the programs write, and how they time.
pub struct Maps {
    pub starts: Mapped<StartSet>,
    /// One element for each CPU there was at load, by its number.
    pub cpus: Mapped<PerCpu>,
    /// One element.
    pub losses: Mapped<Losses>,
    mask: u32,
    misses: Misses,
}

impl Maps {
    /// Maps without programs behind them: nothing is counted.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn detached(mode: SyscallMode, cpus: usize) -> std::io::Result<Self> {
        Ok(Maps {
            starts: Mapped::anonymous(start_sets(cpus, usize::MAX))?,
            cpus: Mapped::anonymous(cpus)?,
            losses: Mapped::anonymous(1)?,
            mask: mask_of(mode),
            misses: Misses::default(),
        })
    }

    /// Calls that a program did not see because it was under way on that CPU.
    pub fn missed(&self) -> u64 {
        self.misses.total()
    }

    /// Share of calls that are timed.
    pub fn sampling_ratio(&self) -> f64 {
        match self.mask {
            MASK_NEVER => 0.0,
            mask => 1.0 / (f64::from(mask) + 1.0),
        }
    }
}

/// `Control` as aya can write it: nothing but u32.
type ControlWords = [u32; size_of::<Control>() / 4];

fn mask_of(mode: SyscallMode) -> u32 {
    match mode {
        SyscallMode::Exact => 0,
        SyscallMode::Sampled => SAMPLED_ONE_IN - 1,
        SyscallMode::Count | SyscallMode::Off => MASK_NEVER,
    }
}

/// Sets of start places: a power of two, no more than there are task ids to fill them.
pub fn start_sets(cpus: usize, pid_max: usize) -> usize {
    let places = (cpus * STARTS_PER_CPU).max(STARTS_AT_LEAST).next_power_of_two();
    let tasks = pid_max.clamp(2, places).next_power_of_two();
    places.min(tasks) / size_of::<StartSet>().div_ceil(16)
}

/// Kernel memory of the maps in bytes, by name.
pub fn map_bytes(cpus: usize, pid_max: usize) -> [(&'static str, usize); 4] {
    [
        ("control", size::<Control>(1)),
        ("cpus", size::<PerCpu>(cpus)),
        ("losses", size::<Losses>(1)),
        ("starts", size::<StartSet>(start_sets(cpus, pid_max))),
    ]
}

/// The programs, loaded and attached; detached when dropped.
pub struct Attached {
    maps: Arc<Maps>,
    sizes: Vec<(String, u64)>,
    mode: SyscallMode,
    _programs: Ebpf,
    _claim: Claim,
}

impl Attached {
    /// # Errors
    /// Why nothing is attached.
    pub fn load(mode: SyscallMode, proc: &Path) -> Result<Self, Refusal> {
        if let Some(refusal) = Facts::of_this_host().refusal() {
            return Err(refusal);
        }
        let claim = Claim::take()?;
        let attached = Self::load_claimed(mode, proc, claim);
        return_memory();
        attached
    }

    fn load_claimed(mode: SyscallMode, proc: &Path, claim: Claim) -> Result<Self, Refusal> {
        let btf = Btf::from_sys_fs().map_err(|e| refusal("reading the kernel's types", &e))?;
        let cpus = cpus_online()?;
        let sets = start_sets(cpus, pid_max(proc));
        let mut programs = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("SET_MASK", &(sets as u32 - 1), true)
            .map_max_entries("starts", sets as u32)
            .map_max_entries("cpus", cpus as u32)
            .load(OBJECT)
            .map_err(|e| refusal("creating maps", &e))?;
        let sizes = sizes(&programs);
        let mut maps = Maps {
            starts: map(&programs, "starts", sets)?,
            cpus: map(&programs, "cpus", cpus)?,
            losses: map(&programs, "losses", 1)?,
            mask: mask_of(mode),
            misses: Misses::default(),
        };
        write_control(&mut programs, own_tgid(proc).unwrap_or(0), maps.mask)?;
        for (name, _, tracepoint) in PROGRAMS {
            let program = program(&mut programs, name)?;
            program.load(tracepoint, &btf).map_err(|e| refusal(name, &e))?;
        }
        let (last, ..) = PROGRAMS[1];
        let id = program(&mut programs, last)?.info().map_err(|e| refusal(last, &e))?.id();
        refuse_second(last, id, proc)?;
        for (name, ..) in &PROGRAMS[first(mode)..] {
            program(&mut programs, name)?.attach().map_err(|e| refusal(name, &e))?;
        }
        let fds: Vec<_> = PROGRAMS.iter().filter_map(|(name, ..)| programs.program(name)?.fd().ok()).collect();
        maps.misses = Misses::of(fds.iter().map(|fd| fd.as_fd()));
        Ok(Attached { maps: Arc::new(maps), sizes, mode, _programs: programs, _claim: claim })
    }

    pub fn maps(&self) -> Arc<Maps> {
        Arc::clone(&self.maps)
    }

    /// Name and bytes of every map, those of constants included.
    pub fn sizes(&self) -> &[(String, u64)] {
        &self.sizes
    }

    pub fn statuses(&self) -> Vec<Status> {
        let unused = Refusal::new(Verdict::Off, "KANARY_SYSCALL_MODE=count needs no start times");
        let mut statuses = refused(&unused);
        for status in &mut statuses[first(self.mode)..] {
            status.verdict = Verdict::Attached;
            status.reason.clear();
        }
        statuses
    }
}

/// Index of the first program that a mode needs.
fn first(mode: SyscallMode) -> usize {
    usize::from(mode == SyscallMode::Count)
}

/// Statuses when nothing was attached.
pub fn refused(refusal: &Refusal) -> Vec<Status> {
    let Refusal { verdict, reason } = refusal;
    let status = |(program, hook, _)| Status { program, hook, verdict: *verdict, reason: reason.clone() };
    PROGRAMS.map(status).into()
}

fn program<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, Refusal> {
    let program = programs.program_mut(name).ok_or_else(|| absent("program", name))?;
    program.try_into().map_err(|e| refusal(name, &e))
}

fn map<T: Shared>(programs: &Ebpf, name: &str, len: usize) -> Result<Mapped<T>, Refusal> {
    let Some(Map::Array(data)) = programs.map(name) else { return Err(absent("map", name)) };
    Mapped::read_only(data.fd(), len).map_err(|e| refusal(&format!("mapping {name}"), &e))
}

fn write_control(programs: &mut Ebpf, own_tgid: u32, mask: u32) -> Result<(), Refusal> {
    let map = programs.map_mut(CONTROL).ok_or_else(|| absent("map", CONTROL))?;
    let mut control = Array::<_, ControlWords>::try_from(map).map_err(|e| refusal(CONTROL, &e))?;
    let mut words: ControlWords = [mask; _];
    words[offset_of!(Control, own_tgid) / 4] = own_tgid;
    control.set(0, words, 0).map_err(|e| refusal(CONTROL, &e))
}

fn absent(what: &str, name: &str) -> Refusal {
    Refusal::new(Verdict::Failed, format!("the object has no {what} {name}"))
}

fn sizes(programs: &Ebpf) -> Vec<(String, u64)> {
    let mut sizes: Vec<(String, u64)> = programs
        .maps()
        .filter_map(|(name, map)| {
            let Map::Array(data) = map else { return None };
            let info = data.info().ok()?;
            let bytes = u64::from(info.max_entries()) * u64::from(info.value_size()).next_multiple_of(8);
            let name = name.rsplit('.').next()?;
            Some((name.to_owned(), bytes.next_multiple_of(rustix::param::page_size() as u64)))
        })
        .collect();
    sizes.sort();
    sizes
}

/// One more than the highest number of a CPU that is online.
fn cpus_online() -> Result<usize, Refusal> {
    let online = aya::util::online_cpus().map_err(|(path, e)| refusal(path, &e))?;
    Ok(online.into_iter().max().map_or(1, |highest| highest as usize + 1))
}

/// Most task ids; unknown is unbounded.
fn pid_max(proc: &Path) -> usize {
    let text = std::fs::read_to_string(proc.join("sys/kernel/pid_max")).unwrap_or_default();
    text.trim().parse().unwrap_or(usize::MAX)
}

/// The parsed kernel types took tens of megabytes; gives them back to the host.
fn return_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only releases free memory of the allocator.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_cpu(cpus: usize, pid_max: usize) -> usize {
        // Constants: two tables of buckets.
        let rodata = 2 * 4096;
        (map_bytes(cpus, pid_max).iter().map(|(_, bytes)| bytes).sum::<usize>() + rodata) / cpus
    }

    #[test]
    fn maps_take_no_more_than_256_kib_per_cpu() {
        for cpus in [2, 16, 128] {
            for pid_max in [32_768, 4_194_304] {
                assert!(per_cpu(cpus, pid_max) <= 256 << 10, "{cpus} CPUs: {}", per_cpu(cpus, pid_max));
            }
        }
    }

    #[test]
    fn start_places_follow_cpus_and_are_capped_by_task_ids() {
        assert_eq!(start_sets(1, 32_768), 4096);
        assert_eq!(start_sets(2, 32_768), 4096);
        assert_eq!(start_sets(3, 4_194_304), 8192);
        assert_eq!(start_sets(128, 32_768), 16_384);
        assert_eq!(start_sets(128, 4_194_304), 262_144);
    }

    #[test]
    fn masks_mean_shares() {
        for (mode, share) in [(SyscallMode::Exact, 1.0), (SyscallMode::Sampled, 1.0 / 16.0), (SyscallMode::Count, 0.0)]
        {
            assert_eq!(Maps::detached(mode, 1).unwrap().sampling_ratio(), share);
        }
    }
}
