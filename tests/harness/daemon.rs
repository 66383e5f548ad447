//! Processes that run beside a test and end with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::http::{free_port, get, try_get};

/// A process with a folder of its own, killed on drop, also when the test panics.
pub struct Daemon {
    child: Child,
    name: String,
    folder: tempfile::TempDir,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Daemon {
    /// Starts `command`, its output going to a log.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command, folder: tempfile::TempDir, url: String) -> Self {
        let log = File::create(folder.path().join("log")).expect("a fresh temporary folder is writable");
        let err = log.try_clone().expect("a file can be duplicated");
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Daemon { child, name: name.into(), folder, url }
    }

    /// Waits until `path` answers 200.
    ///
    /// # Panics
    /// When the process ends before, or after a minute. The log is shown.
    pub fn ready(mut self, path: &str) -> Self {
        let url = format!("{}{path}", self.url);
        let log = self.folder.path().join("log");
        let ready = wait_for(Duration::from_secs(60), || {
            assert!(self.child.try_wait().is_ok_and(|s| s.is_none()), "{} ended:\n{}", self.name, read(&log));
            try_get(&url, &[]).is_ok_and(|(status, _)| status == 200)
        });
        assert!(ready, "{} does not answer {url}:\n{}", self.name, self.log());
        self
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its private folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All it has said so far.
    pub fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    /// The body of its answer 200 to `path`.
    pub fn get(&self, path: &str) -> String {
        get(&format!("{}{path}", self.url))
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub fn stop(mut self, patience: Duration) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait(patience)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .expect("a child that was not waited for exists");
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        wait_for(patience, || {
            status = self.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.log()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log());
        }
    }
}

fn read(log: &Path) -> String {
    std::fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}

/// Asks `condition` ten times a second until it holds: whether it did in time.
pub fn wait_for(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A folder for one test's files.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("kanary-").tempdir().expect("a temporary folder")
}

/// The binary under test with ports and state of its own and nothing else in its environment but `PATH`; `env` last.
pub fn kanary_command(folder: &Path, env: &[(&str, &str)]) -> (Command, String) {
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kanary"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KANARY_LISTEN", format!("127.0.0.1:{port}"))
        .env("KANARY_API_LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("KANARY_STATE_DIR", folder.join("state"))
        .envs(env.iter().copied());
    let listen = env.iter().find(|(name, _)| *name == "KANARY_LISTEN").map(|(_, value)| (*value).to_string());
    (command, format!("http://{}", listen.unwrap_or(format!("127.0.0.1:{port}"))))
}

/// A running kanary, ready.
pub fn kanary(env: &[(&str, &str)]) -> Daemon {
    let folder = temp_dir();
    let (mut command, url) = kanary_command(folder.path(), env);
    Daemon::start("kanary", &mut command, folder, url).ready("/-/ready")
}

/// A running Prometheus (`program`: `prometheus` or `prometheus3`) with this configuration file.
pub fn prometheus(program: &Path, config: &str, flags: &[&str]) -> Daemon {
    let folder = temp_dir();
    let port = free_port();
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, config).expect("a temporary folder is writable");
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(flags)
        .current_dir(folder.path());
    Daemon::start("prometheus", &mut command, folder, format!("http://127.0.0.1:{port}")).ready("/-/ready")
}

/// A running Alertmanager with this configuration.
pub fn alertmanager(program: &Path, config: &Path) -> Daemon {
    let folder = temp_dir();
    let port = free_port();
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .current_dir(folder.path());
    Daemon::start("alertmanager", &mut command, folder, format!("http://127.0.0.1:{port}")).ready("/-/ready")
}

/// Runs a program to its end: whether it succeeded, and all it said.
pub fn run(program: impl Into<PathBuf>, args: &[&str]) -> (bool, String) {
    let program = program.into();
    let out = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{} does not start: {e}", program.display()));
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text.into_owned())
}
