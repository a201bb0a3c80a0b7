//! Places where a tape soon has no room.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::{TempDir, tempdir};

use crate::program::changetape;

/// How large the file system is, or a file may become, and how large with room.
const SMALL_MIB: u32 = 16;
const LARGE_MIB: u32 = 128;

/// Every kind of place that this machine lets a test have; where `CI` is set, that must be all.
pub(super) fn places() -> Vec<Place> {
    let directory = tempdir().unwrap();
    let limited = Place::FileSizes { directory, is_limited: true };
    match FileSystem::mount() {
        Ok(file_system) => vec![Place::FileSystem(file_system), limited],
        Err(why) => {
            let advice = "give its tests root, or unset CI to do without a full disk";
            assert!(std::env::var_os("CI").is_none(), "CI may not mount anything; {advice}: {why}");
            println!("no file system: {why}");
            vec![limited]
        }
    }
}

/// Where a tape soon has no room.
pub(super) enum Place {
    /// A file system of its own.
    FileSystem(FileSystem),
    /// Any directory; no file in it may grow beyond some megabytes.
    FileSizes { directory: TempDir, is_limited: bool },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileSystem(_) => "a file system of its own",
            Self::FileSizes { .. } => "files of a limited size",
        })
    }
}

impl Place {
    pub(super) fn tape(&self) -> PathBuf {
        match self {
            Self::FileSystem(file_system) => file_system.path().join("full.tape"),
            Self::FileSizes { directory, .. } => directory.path().join("full.tape"),
        }
    }

    /// The program, where there is no more room than this.
    pub(super) fn changetape(&self, args: &[&str]) -> Command {
        match self {
            Self::FileSizes { is_limited: true, .. } => limited(&changetape(args)),
            _ => changetape(args),
        }
    }

    /// What a recorder says that finds no room.
    pub(super) fn complaint(&self) -> &'static [&'static str] {
        match self {
            Self::FileSystem(_) => &["the disk is full", "make room and go on", "full.tape"],
            Self::FileSizes { .. } => &["cannot ", "full.tape"],
        }
    }

    /// Whether there is no room for another file either.
    pub(super) fn stays_full(&self) -> bool {
        matches!(self, Self::FileSystem(_))
    }

    /// Has somebody else take all the room there is.
    pub(super) fn fill(&self) {
        if let Self::FileSystem(file_system) = self {
            file_system.fill();
        }
    }

    pub(super) fn make_room(&mut self) {
        match self {
            Self::FileSystem(file_system) => file_system.resize(LARGE_MIB),
            Self::FileSizes { is_limited, .. } => *is_limited = false,
        }
    }
}

/// The same command where no file can become larger than a small disk. It is to be told so as it
/// is told of a full disk: by an error, not by a signal.
fn limited(command: &Command) -> Command {
    const SCRIPT: &str = r#"trap "" XFSZ && ulimit -f "$0" && exec "$@""#;
    const BLOCK: u32 = 512;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SCRIPT, &(SMALL_MIB * (1 << 20) / BLOCK).to_string()]);
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A file system in memory, of some megabytes. It is mounted where only a shell of its own sees
/// it, so that it is gone with that shell however the test ends; others reach it by `/proc`.
pub(super) struct FileSystem {
    shell: Child,
    answers: BufReader<ChildStdout>,
    mounted_on: TempDir,
}

impl FileSystem {
    /// Mounts one; why not, where that is not permitted.
    fn mount() -> Result<Self, String> {
        /// Answers each line with one, and ends with the test. What is mounted is named again, or
        /// `mount` would repeat options whose users are not known in a namespace.
        const SHELL: &str = r#"
            mount -t tmpfs -o "size=$0m" tmpfs "$1" || exit
            echo mounted
            while read -r mib; do
                mount -t tmpfs -o "remount,size=${mib}m" tmpfs "$1" || exit
                echo resized
            done"#;
        let mut refusals = String::new();
        // As root without further ado; anybody else as the root of a user namespace.
        for namespaces in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
            let mounted_on = tempdir().unwrap();
            let mut unshare = Command::new("unshare");
            unshare.args(namespaces).args(["--", "/bin/sh", "-c", SHELL, &SMALL_MIB.to_string()]);
            unshare.arg(mounted_on.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut shell = match unshare.stderr(Stdio::piped()).spawn() {
                Ok(shell) => shell,
                Err(error) => return Err(format!("unshare: {error}")),
            };
            let answers = BufReader::new(shell.stdout.take().unwrap());
            let mut file_system = Self { shell, answers, mounted_on };
            if file_system.answer() == "mounted\n" {
                return Ok(file_system);
            }
            let reason = io::read_to_string(file_system.shell.stderr.take().unwrap()).unwrap();
            let _ = write!(refusals, "{reason}");
        }
        Err(refusals)
    }

    /// Where it is for everybody.
    fn path(&self) -> PathBuf {
        let shell = Path::new("/proc").join(self.shell.id().to_string());
        shell.join("root").join(self.mounted_on.path().strip_prefix("/").unwrap())
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    /// Writes a file until there is no room at all.
    fn fill(&self) {
        let mut file = File::create(self.path().join("filler")).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    }

    fn resize(&mut self, mib: u32) {
        writeln!(self.shell.stdin.as_mut().unwrap(), "{mib}").unwrap();
        assert_eq!(self.answer(), "resized\n");
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
