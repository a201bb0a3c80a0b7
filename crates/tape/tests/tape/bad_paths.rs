//! Goal: whatever is at the path instead of a tape that can be opened, the user is told in one
//! sentence what it is and what to do, and it stays as it is.
//! Method: each in turn. Another process, and another user, are this test binary again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use changetape_tape::{Error, TapeReader, TapeWriter, tape_exists};

use crate::samples;

const PATH: &str = "CHANGETAPE_TEST_BAD_PATH";
const CHILD: &str = "CHANGETAPE_TEST_BAD_PATH_CHILD";

/// "nobody", on every Linux.
const NOBODY: u32 = 65_534;

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn child() {
    let (Ok(path), Ok(doing)) = (std::env::var(PATH), std::env::var(CHILD)) else { return };
    let path = Path::new(&path);
    match doing.as_str() {
        "record" => {
            let _writer = TapeWriter::open(path).unwrap();
            println!("\nopen");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "read" => {
            let _reader = TapeReader::open(path).unwrap();
            println!("\nopen");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        _ => {
            println!("\nsays {}", TapeReader::open(path).unwrap_err());
            println!("\nsays {}", TapeWriter::open(path).unwrap_err());
            let new = path.with_extension("new");
            println!("\nsays {}", TapeWriter::create(&new, samples::metadata()).unwrap_err());
        }
    }
}

fn start(path: &Path, doing: &str, user: Option<u32>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "bad_paths::child", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .env(CHILD, doing)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.spawn().unwrap()
}

#[track_caller]
fn says(result: Result<impl std::fmt::Debug, Error>, expected: &str) {
    let text = result.unwrap_err().to_string();
    assert!(text.contains(expected), "{text}");
    assert!(!text.contains('\n') && !text.ends_with('.'), "one sentence: {text}");
}

#[test]
fn what_is_no_tape_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other/data"), "x").unwrap();
    fs::create_dir(at("format")).unwrap();
    fs::write(at("format/FORMAT"), "Rich Text").unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("link")).unwrap();
    for (name, expected) in [
        ("nothing", "there is no tape at"),
        ("link", "there is no tape at"),
        ("file", "it is a file, and a tape is a directory"),
        ("empty", "it is an empty directory"),
        ("other", "it is a directory without a file FORMAT"),
        ("format", "its file FORMAT is not a tape's"),
        ("nothing/inside", "there is no tape at"),
    ] {
        says(TapeReader::open(&at(name)), expected);
        says(TapeWriter::open(&at(name)), expected);
        says(TapeReader::open(&at(name)), at(name).to_str().unwrap());
    }
    assert!(!tape_exists(&at("empty")) && !tape_exists(&at("nothing")));
    assert_eq!(fs::read_dir(at("empty")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(at("other")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(at("format")).unwrap().count(), 1);
}

#[test]
fn a_new_tape_is_made_nowhere_but_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let create = |name: &str| TapeWriter::create(&at(name), samples::metadata());
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("empty")).unwrap();
    create("tape").unwrap().close().unwrap();
    says(create("file"), "there is a file; choose another path or remove it first");
    says(create("empty"), "there is a directory that is not a tape");
    says(create("tape"), "there is a tape already");
    says(create("nowhere/tape"), "cannot create");
    assert_eq!(fs::read_dir(at("empty")).unwrap().count(), 0);
    samples::check_holds(&TapeReader::open(&at("tape")).unwrap(), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing half-made remains");
}

#[test]
fn what_a_process_killed_while_it_made_a_tape_left_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let half = dir.path().join(".orders.tape.creating");
    fs::create_dir_all(half.join("log/blobs")).unwrap();
    fs::write(half.join("log/db"), "half").unwrap();
    fs::write(half.join("lock"), "pid 1\nhost elsewhere\n").unwrap();
    let path = dir.path().join("orders.tape");
    says(TapeReader::open(&path), "there is no tape at");
    samples::tape_of(&path, [3]).close().unwrap();
    assert!(!half.exists());
    samples::check_holds(&TapeReader::open(&path).unwrap(), 3);
}

#[test]
fn who_has_the_tape_open_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::tape_of(&path, [3]).close().unwrap();
    for (doing, word) in [("record", "recording"), ("read", "reading")] {
        let mut child = start(&path, doing, None);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "open"));
        let holder = format!("{word}, pid {} on host ", child.id());
        says(TapeReader::open(&path), &holder);
        says(TapeWriter::open(&path), &holder);
        says(TapeWriter::open(&path), "wait for it to end, or end it");
        child.kill().unwrap();
        child.wait().unwrap();
        samples::check_holds(&TapeReader::open(&path).unwrap(), 3);
    }
    let _reader = TapeReader::open(&path).unwrap();
    says(TapeWriter::open(&path), &format!("reading, pid {}", std::process::id()));
}

#[test]
fn who_is_not_permitted_is_told_what_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::tape_of(&path, [3]).close().unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // Root may do anything, so it becomes somebody else.
    let root = rustix::process::geteuid().is_root();
    if root {
        mode(dir.path(), 0o755);
        mode(&path, 0o755);
    } else {
        mode(&path.join("lock"), 0o444);
        mode(dir.path(), 0o555);
    }
    let child = start(&path, "say", root.then_some(NOBODY)).wait_with_output().unwrap();
    mode(dir.path(), 0o755);
    let output = String::from_utf8(child.stdout).unwrap();
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("says ")).collect();
    let lock = path.join("lock");
    let expected =
        format!("not permitted to open {}; run as the user who owns the tape", lock.display());
    let [reading, recording, creating] = said[..] else { panic!("{output}") };
    assert_eq!((reading, recording), (expected.as_str(), expected.as_str()));
    assert!(creating.starts_with("not permitted to create "), "{creating}");
}
