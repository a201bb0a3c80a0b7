//! Goal: what a contributor without a usable mongod is told is right and complete.
//! Method: little shell scripts stand in for the mongods that we cannot have here.

use std::fs;

use super::*;
use crate::target_directory;

fn script(name: &str, body: &str) -> PathBuf {
    let directory = target_directory().join("testkit-scripts").join(name);
    fs::create_dir_all(&directory).unwrap();
    // Written by another process: were it written by this one, a child forked meanwhile by
    // a test beside this one could hold it open, and what is open for writing does not run.
    let write = format!("#!/bin/sh\n{body}\n");
    let written = Command::new("/bin/sh")
        .args(["-c", r#"printf %s "$1" >mongod.$$ && chmod +x mongod.$$ && mv mongod.$$ mongod"#])
        .args(["write", &write])
        .current_dir(&directory)
        .status();
    assert!(written.unwrap().success());
    directory.join("mongod")
}

#[test]
fn a_missing_library_is_named_with_what_to_install() {
    let broken = script(
        "no-libcurl",
        "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file' >&2; exit 127",
    );
    let message = search(Some(broken.into()), None).unwrap_err().to_string();
    for part in [
        "libcurl.so.4: cannot open",
        "apt-get install libcurl4",
        "CHANGETAPE_TEST_MONGOD to the path",
        "on PATH",
        "PyPI",
        "docker compose up",
        "CHANGETAPE_TEST_URI",
    ] {
        assert!(message.contains(part), "{part:?} is missing from:\n{message}");
    }
}

#[test]
fn a_mongod_that_is_too_old_or_no_mongod_is_refused() {
    let old = script("old", "echo 'db version v4.4.29'");
    assert_eq!(usable(&old, MINIMUM).unwrap_err(), "is MongoDB 4.4.29, too old");
    let other = script("other", "echo 'hello'");
    assert_eq!(usable(&other, MINIMUM).unwrap_err(), "does not print a MongoDB version");
    let new = script("new", "echo 'db version v10.1.0-rc3'");
    assert_eq!(usable(&new, NEWER), Ok(()));
    assert!(
        usable(Path::new("/nowhere/mongod"), MINIMUM).unwrap_err().starts_with("does not start: ")
    );
}

#[test]
fn path_is_searched_in_order() {
    let (first, second) = (script("first", "echo 'db version v6.0.1'"), script("second", ""));
    let directories = [&first, &second].map(|mongod| mongod.parent().unwrap());
    let path = std::env::join_paths(directories).unwrap();
    assert_eq!(on_path(Some(&path)), Ok(first));
    assert_eq!(on_path(Some(OsStr::new("/nowhere"))), Err("there is none on PATH".to_owned()));
}

#[test]
fn the_mongods_that_are_found_run() {
    assert_eq!(usable(&find().unwrap(), MINIMUM), Ok(()));
    assert_eq!(usable(&find_newer().unwrap(), NEWER), Ok(()));
}
