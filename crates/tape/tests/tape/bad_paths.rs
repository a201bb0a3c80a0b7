//! Goal: whatever is at the path instead of a tape that can be opened, the user is told in one
//! sentence what it is and what to do, and it stays as it is.
//! Method: each in turn. Another process, and another user, are this test binary again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use changetape_core::Seq;
use changetape_tape::{Error, Tail, TapeReader, TapeWriter, Verified, repair, tape_exists, verify};

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
            let mut writer = TapeWriter::open(path).unwrap();
            samples::append(&mut writer, 3..8).unwrap();
            println!("\nopen");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "say" => {
            match TapeReader::open(path) {
                Ok(reader) => {
                    samples::check_holds(&reader, reader.end().get());
                    println!("\nsays {} {:?}", reader.end(), reader.tail());
                }
                Err(error) => println!("\nsays {error}"),
            }
            match verify(path, &mut |_, _| ()) {
                Ok(Verified { events, damages, unseen, .. }) => {
                    println!("\nsays {} {unseen:?} {damages:?}", Seq::new(events));
                }
                Err(error) => println!("\nsays {error}"),
            }
            println!("\nsays {}", TapeWriter::open(path).unwrap_err());
            let new = path.with_extension("new");
            println!("\nsays {}", TapeWriter::create(&new, samples::metadata()).unwrap_err());
        }
        other => panic!("{other}"),
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
    let mut child = start(&path, "record", None);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "open"));
    let holder = format!("recording, pid {} on host ", child.id());
    says(TapeWriter::open(&path), &holder);
    says(TapeWriter::open(&path), "wait for it to end, or end it");
    says(repair(&path, &mut |_, _| ()), &holder);
    // Who reads sees what is sealed.
    let beside = TapeReader::open(&path).unwrap();
    let verified = verify(&path, &mut |_, _| ()).unwrap();
    assert_eq!((&verified.unseen, verified.events), (beside.tail(), 3));
    let Tail::BeingRecorded(recorder) = beside.tail() else { panic!("{:?}", beside.tail()) };
    assert_eq!(recorder.pid, Some(child.id()));
    assert!(recorder.host.as_ref().is_some_and(|host| !host.is_empty()));
    samples::check_holds(&beside, 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let reader = TapeReader::open(&path).unwrap();
    assert_eq!(reader.tail(), &Tail::Nothing);
    samples::check_holds(&reader, 8);
    // Nor does who reads keep anyone from recording.
    TapeWriter::open(&path).unwrap().close().unwrap();
    drop((reader, beside));
}

/// Makes a directory, and the tape in it, what another user may read but not change, and runs a
/// child as that user; what it says of reading, verifying, recording, and making a tape.
fn as_another_user(dir: &Path, path: &Path) -> [String; 4] {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // Root may do anything, so it becomes somebody else.
    let root = rustix::process::geteuid().is_root();
    if root {
        mode(dir, 0o755);
    } else {
        mode(&path.join("lock"), 0o444);
        mode(dir, 0o555);
    }
    let child = start(path, "say", root.then_some(NOBODY)).wait_with_output().unwrap();
    mode(dir, 0o755);
    let output = String::from_utf8(child.stdout).unwrap();
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("says ")).collect();
    let [reading, verifying, recording, creating] = said[..] else { panic!("{output}") };
    [reading, verifying, recording, creating].map(str::to_owned)
}

#[test]
fn who_may_not_write_reads_what_is_sealed_and_is_told_what_to_do() {
    for (crashed, tail) in [(false, "Nothing"), (true, "NotSealed")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        samples::tape_of(&path, [3]).close().unwrap();
        if crashed {
            let mut writer = TapeWriter::open(&path).unwrap();
            samples::append(&mut writer, 3..8).unwrap();
        }
        let [reading, verifying, recording, creating] = as_another_user(dir.path(), &path);
        assert_eq!(reading, format!("{} {tail}", Seq::new(3)));
        assert_eq!(verifying, format!("{reading} []"));
        let lock = path.join("lock");
        let expected =
            format!("not permitted to open {}; run as the user who owns the tape", lock.display());
        assert_eq!(recording, expected);
        assert!(creating.starts_with("not permitted to create "), "{creating}");
        samples::check_holds(&TapeReader::open(&path).unwrap(), if crashed { 8 } else { 3 });
    }
}

#[test]
fn who_may_not_read_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::tape_of(&path, [3]).close().unwrap();
    fs::set_permissions(path.join("catalog"), fs::Permissions::from_mode(0o000)).unwrap();
    let [reading, ..] = as_another_user(dir.path(), &path);
    let catalog = path.join("catalog");
    let expected =
        format!("not permitted to read {}; run as the user who owns the tape", catalog.display());
    assert_eq!(reading, expected);
}
