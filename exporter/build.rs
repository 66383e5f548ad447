//! Compiles `bpf/*.bpf.c` and turns `bpf/abi.h` into Rust, so that neither side types a layout twice.
//!
//! Into OUT_DIR: `<stem>.bpf.o` of every program (`bench_<stem>.bpf.o` of the benchmark's), `buckets.h`, `abi.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[allow(dead_code, reason = "the rest is the tests' part")]
#[path = "src/bpf/buckets.rs"]
mod buckets;

fn main() {
    if let Err(why) = run() {
        // One line a person can act on, instead of a panic's trace.
        println!("cargo::error={why}");
    }
}

fn run() -> Result<(), String> {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?).join("../bpf");
    let out = PathBuf::from(var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=src/bpf/buckets.rs");
    println!("cargo::rerun-if-env-changed=CLANG");

    let header = root.join("abi.h");
    let abi = Abi::parse(&read(&header)?).map_err(|e| format!("{}: {e}", header.display()))?;
    write(&out.join("abi.rs"), &abi.rust)?;
    write(&out.join("buckets.h"), &buckets::header(abi.buckets as usize))?;

    let clang = Clang::find()?;
    for (folder, prefix) in [(root.clone(), ""), (root.join("bench"), "bench_")] {
        for source in sources(&folder)? {
            println!("cargo::rerun-if-changed={}", source.display());
            let stem = source.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
            clang.compile(&source, &out, &out.join(format!("{prefix}{stem}.o")))?;
        }
    }
    Ok(())
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set: run by cargo only"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.to_string_lossy().ends_with(".bpf.c")).collect();
    found.sort();
    Ok(found)
}

struct Clang {
    program: String,
    architecture: &'static str,
}

impl Clang {
    fn find() -> Result<Self, String> {
        let architecture = match var("CARGO_CFG_TARGET_ARCH")?.as_str() {
            "x86_64" => "x86",
            "aarch64" => "arm64",
            other => return Err(format!("no kernel programs for {other}")),
        };
        let chosen = env::var("CLANG").ok().filter(|c| !c.is_empty());
        let mut usual = ["clang".to_string()].into_iter().chain((14..=22).rev().map(|n| format!("clang-{n}")));
        let runs = |program: &String| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
        let program = match chosen {
            Some(program) if runs(&program) => Ok(program),
            Some(program) => Err(format!("CLANG={program} does not run: install the Debian package clang")),
            None => usual
                .find(runs)
                .ok_or_else(|| "no clang to compile bpf/*.bpf.c with: install the Debian package clang".into()),
        };
        Ok(Clang { program: program?, architecture })
    }

    fn compile(&self, source: &Path, include: &Path, object: &Path) -> Result<(), String> {
        // The headers of linux-libc-dev lie in the machine's own folder, which the bpf target does not search.
        let machine = format!("/usr/include/{}-linux-gnu", var("CARGO_CFG_TARGET_ARCH")?);
        let done = Command::new(&self.program)
            .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-idirafter", &machine])
            .arg(format!("-D__TARGET_ARCH_{}", self.architecture))
            .arg("-I")
            .arg(include)
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object)
            .output()
            .map_err(|e| format!("{}: {e}", self.program))?;
        if done.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&done.stderr);
        Err(missing_header(&text)
            .unwrap_or_else(|| format!("{} cannot compile {}: {}", self.program, source.display(), first_error(&text))))
    }
}

/// A missing header as the package that brings it.
fn missing_header(diagnostics: &str) -> Option<String> {
    let line = diagnostics.lines().find(|l| l.contains("file not found"))?;
    let header = line.split('\'').nth(1)?;
    let package = if header.starts_with("bpf/") { "libbpf-dev" } else { "linux-libc-dev" };
    Some(format!("no header {header}: install the Debian package {package}"))
}

fn first_error(diagnostics: &str) -> &str {
    diagnostics.lines().find(|l| l.contains("error:")).unwrap_or("unknown error")
}

/// What `abi.h` says, as Rust.
struct Abi {
    rust: String,
    buckets: u64,
}

impl Abi {
    fn parse(header: &str) -> Result<Self, String> {
        let mut abi = Abi { rust: "// Made from bpf/abi.h by build.rs.\n".into(), buckets: 0 };
        let mut lines = header.lines().enumerate().take_while(|(_, l)| *l != "#ifdef __bpf__");
        let mut comment = String::new();
        while let Some((at, line)) = lines.next() {
            let fault = |what: &str| format!("line {}: {what}: `{line}`", at + 1);
            if let Some(define) = line.strip_prefix("#define ") {
                abi.constant(define).ok_or_else(|| fault("not a number"))?;
            } else if let Some(name) = line.strip_prefix("struct ").and_then(|l| l.strip_suffix(" {")) {
                let members = lines.by_ref().map(|(_, l)| l).take_while(|l| *l != "};").collect::<Vec<_>>();
                abi.layout(name, &comment, &members).map_err(|member| fault(&format!("cannot read `{member}`")))?;
            } else if let Some(text) = line.strip_prefix("/* ").and_then(|l| l.strip_suffix(" */")) {
                comment = text.into();
            }
        }
        if abi.buckets == 0 { Err("BUCKETS is not defined".into()) } else { Ok(abi) }
    }

    fn constant(&mut self, define: &str) -> Option<()> {
        let (text, comment) = split_comment(define);
        let Some((name, value)) = text.split_once(char::is_whitespace) else { return Some(()) };
        let value = value.trim();
        let value = match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None => value.parse().ok()?,
        };
        if name == "BUCKETS" {
            self.buckets = value;
        }
        self.rust += &format!("/// {comment}\npub const {name}: u32 = {value};\n");
        Some(())
    }

    fn layout(&mut self, name: &str, comment: &str, members: &[&str]) -> Result<(), String> {
        let name = camel(name);
        self.rust += &format!("/// {comment}\n#[repr(C)]\npub struct {name} {{\n");
        for line in members {
            self.rust += &member(line).ok_or_else(|| line.to_string())?;
        }
        self.rust += "}\n";
        self.rust += "// SAFETY: repr(C), and nothing but atomics, for which all bits are values.\n";
        self.rust += &format!("unsafe impl Shared for {name} {{}}\n");
        Ok(())
    }
}

/// `__u64 sum; /* ns */` or `struct row rows[ROWS];`, as a field.
fn member(line: &str) -> Option<String> {
    let (text, comment) = split_comment(line.trim());
    let (kind, rest) = text.trim_start_matches("struct ").strip_suffix(';')?.split_once(' ')?;
    let kind = match kind {
        "__u16" => "AtomicU16".into(),
        "__u32" => "AtomicU32".into(),
        "__u64" => "AtomicU64".into(),
        other => camel(other),
    };
    let documentation = if comment.is_empty() { String::new() } else { format!("/// {comment}\n") };
    Some(match rest.strip_suffix(']').and_then(|r| r.split_once('[')) {
        Some((name, len)) => {
            let cast = if len.starts_with(|c: char| c.is_ascii_digit()) { "" } else { " as usize" };
            format!("{documentation}pub {name}: [{kind}; {len}{cast}],\n")
        }
        None => format!("{documentation}pub {rest}: {kind},\n"),
    })
}

fn split_comment(line: &str) -> (&str, &str) {
    let (text, comment) = line.split_once("/*").unwrap_or((line, ""));
    (text.trim(), comment.trim_end_matches("*/").trim())
}

fn camel(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}
