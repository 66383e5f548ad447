//! The container: the image builds from the Dockerfile, runs as docker-compose.yml says in a real Docker engine, with no
//! more rights than stand there, and its kernel programs attach.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::{Daemon, run, temp_dir, wait_for};
use crate::harness::http::{free_port, get, try_get};
use crate::harness::tools::{find, tool};
use crate::harness::{ebpf_lock, is_root, skip, workspace};

/// The service that docker-compose.yml runs, under ports of the test and asked for its health each second.
const SERVICE: &str = "kanary";

/// A Docker engine of its own: other folders, another socket, no network of its own.
struct Engine {
    daemon: Option<Daemon>,
    host: String,
    compose: PathBuf,
    files: Vec<PathBuf>,
}

impl Engine {
    /// None, with a SKIP, where it cannot run.
    fn start(test: &str) -> Option<Self> {
        let compose = tool(test, "docker-compose")?;
        let dockerd = tool(test, "dockerd")?;
        if !is_root() {
            skip(test, "a Docker engine needs root");
            return None;
        }
        let folder = temp_dir();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let host = format!("unix://{}", at("socket"));
        // Mounts are shared in a namespace of its own: rslave needs it, and the host's need not be.
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "shared"])
            .arg(&dockerd)
            .args(["--host", &host, "--pidfile", &at("pid"), "--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .args(["--ip-forward=false", "--ip-masq=false", "--userland-proxy=false"])
            .env("PATH", search_path(dockerd.parent()?));
        let daemon = Daemon::start("dockerd", &mut command, folder, String::new());
        let engine = Engine { daemon: Some(daemon), host, compose, files: Vec::new() };
        let ready = wait_for(Duration::from_secs(60), || engine.docker(&["version"]).0);
        assert!(ready, "dockerd does not answer:\n{}", engine.daemon.as_ref()?.log());
        Some(engine)
    }

    fn folder(&self) -> &Path {
        self.daemon.as_ref().expect("it runs until the drop").folder()
    }

    /// The docker client: whether it succeeded, and all it said.
    fn docker(&self, args: &[&str]) -> (bool, String) {
        let docker = find("docker").expect("the client comes with the engine");
        run(docker, &[&["--host", &self.host], args].concat())
    }

    fn must(&self, args: &[&str]) -> String {
        let (ok, said) = self.docker(args);
        assert!(ok, "docker {args:?}: {said}");
        said.trim().into()
    }

    fn compose(&self, args: &[&str]) -> (bool, String) {
        let files: Vec<String> = self.files.iter().map(|f| f.display().to_string()).collect();
        let files: Vec<&str> = files.iter().flat_map(|f| ["-f", f.as_str()]).collect();
        let host = format!("DOCKER_HOST={}", self.host);
        let compose = self.compose.display().to_string();
        run("env", &[&[host.as_str(), compose.as_str(), "-p", "kanary-test"], files.as_slice(), args].concat())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            self.compose(&["down", "--volumes", "--timeout", "5"]);
        }
        // By SIGTERM: killed, it would leave its containerd behind.
        if let Some(daemon) = &self.daemon {
            daemon.signal(rustix::process::Signal::TERM);
            wait_for(Duration::from_secs(30), || !daemon.folder().join("pid").exists());
        }
    }
}

/// Where dockerd finds containerd and runc.
fn search_path(tools: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [tools.to_path_buf(), "/usr/sbin".into(), "/sbin".into()];
    std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path))).expect("no folder has a colon")
}

/// An image of the shared libraries that the binary needs: no registry can be asked for a real one.
fn import_base(engine: &Engine, image: &str) {
    let (_, said) = run("ldd", &[env!("CARGO_BIN_EXE_kanary")]);
    let libraries: Vec<&str> = said.split_whitespace().filter_map(|word| word.strip_prefix('/')).collect();
    assert!(!libraries.is_empty(), "{said}");
    let tar = engine.folder().join("base.tar").display().to_string();
    let (ok, said) = run("tar", &[&["-chf", &tar, "-C", "/"], libraries.as_slice()].concat());
    assert!(ok, "{said}");
    engine.must(&["import", &tar, image]);
}

/// Builds the runtime stage around the binary under test.
fn build_image(engine: &Engine) {
    import_base(engine, "kanary-base");
    let context = engine.folder().join("context");
    fs::create_dir_all(context.join("target/release")).expect("a temporary folder is writable");
    fs::copy(env!("CARGO_BIN_EXE_kanary"), context.join("target/release/kanary")).expect("the binary can be copied");
    let (file, context) = (workspace().join("Dockerfile").display().to_string(), context.display().to_string());
    engine.must(&[
        "build",
        "--target",
        "runtime",
        "--build-arg",
        "BASE=kanary-base",
        "-t",
        "kanary",
        "-f",
        &file,
        &context,
    ]);
}

/// Engines before 23 know neither capability: they need the one that held both before.
fn capabilities(engine: &Engine) -> &'static str {
    let version = engine.must(&["version", "--format", "{{.Server.Version}}"]);
    let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).expect("a version");
    if major < 23 { "    cap_add: !override [SYS_ADMIN]\n" } else { "" }
}

#[test]
fn the_container_watches_the_host_with_few_rights() {
    let test = "the_container_watches_the_host_with_few_rights";
    let Some(mut engine) = Engine::start(test) else { return };
    let Some(_lock) = ebpf_lock(test) else { return };
    build_image(&engine);
    let (port, api) = (free_port(), free_port());
    let ours = engine.folder().join("test.yml");
    let text = format!(
        "services:\n  {SERVICE}:\n    environment: {{KANARY_LISTEN: '127.0.0.1:{port}', KANARY_API_LISTEN: '127.0.0.1:{api}', KANARY_EBPF: require}}\n    healthcheck: {{interval: 1s}}\n{}",
        capabilities(&engine)
    );
    fs::write(&ours, text).expect("a temporary folder is writable");
    engine.files = vec![workspace().join("docker-compose.yml"), ours];
    let (ok, said) = engine.compose(&["up", "--detach", "--no-build", "--no-deps", SERVICE]);
    assert!(ok, "{said}");
    let url = format!("http://127.0.0.1:{port}/metrics");
    let logs = |engine: &Engine| engine.compose(&["logs", "--no-color"]).1;
    let answers = wait_for(Duration::from_secs(30), || try_get(&url, &[]).is_ok_and(|(status, _)| status == 200));
    assert!(answers, "{}", logs(&engine));
    let page = get(&url);
    assert!(page.contains("kanary_bpf_program_attached{program=\"kanary_sysexit\"} 1"), "{}", logs(&engine));
    assert!(page.contains("node_filesystem_size_bytes{") && page.contains("mountpoint=\"/\""), "the host's mounts");
    assert!(
        !page.contains("_success{collector=\"filesystem\"} 0"),
        "{}",
        get(&format!("http://127.0.0.1:{api}/status"))
    );
    let container = engine.must(&["ps", "--quiet"]);
    let health = || engine.must(&["inspect", "--format", "{{.State.Health.Status}}", &container]);
    assert!(wait_for(Duration::from_secs(30), || health() == "healthy"), "{}: {}", health(), logs(&engine));
    let rights =
        engine.must(&["inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}", &container]);
    assert_eq!(rights, "true false");
}

#[test]
fn what_compose_mounts_exists() {
    let Some(compose) = tool("what_compose_mounts_exists", "docker-compose") else { return };
    let file = workspace().join("docker-compose.yml").display().to_string();
    let (ok, said) = run(compose, &["-f", &file, "config", "--format", "json"]);
    assert!(ok, "{said}");
    let config: serde_json::Value = serde_json::from_str(&said).expect("compose prints JSON");
    for (name, service) in config["services"].as_object().expect("services") {
        for volume in service["volumes"].as_array().into_iter().flatten().filter(|v| v["type"] == "bind") {
            let source = volume["source"].as_str().unwrap_or_default();
            assert!(Path::new(source).exists(), "{name} mounts {source}");
            assert_eq!(volume["read_only"], true, "{name} may write to {source}");
        }
    }
}

#[test]
fn prometheus_takes_the_configuration_of_compose() {
    let Some(promtool) = tool("prometheus_takes_the_configuration_of_compose", "promtool") else { return };
    let file = workspace().join("deploy/compose/prometheus.yml").display().to_string();
    let (ok, said) = run(promtool, &["check", "config", "--syntax-only", &file]);
    assert!(ok, "{said}");
}
