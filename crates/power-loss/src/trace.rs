//! What strace writes, read: one system call after the other.
//!
//! ```text
//! 4711 pwrite64(9, "\x43\x54", 2, 0) = 2
//! 4711 fsync(9 <unfinished ...>
//! 4712 close(5)                     = 0
//! 4711 <... fsync resumed>)         = 0
//! ```
//! A call that others overlap comes in two parts. It counts when it is done; where it also matters
//! when it began, it is told of twice. Strings are in hexadecimal, so no bracket, comma or
//! quotation mark in one is in the way.

use std::collections::HashMap;
use std::io::BufRead;

use anyhow::{Context as _, Result, bail};

/// The calls that change what is on disk, or make it durable, or say which file another is on.
/// Those that no tape's writer makes are here so that they do not go unnoticed.
pub(crate) const CALLS: &str = "open,openat,creat,close,dup,dup2,dup3,fcntl,lseek,\
    write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,\
    rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
    fsync,fdatasync";

/// Those of which it matters when they begin: a sync keeps what was written before, and a number
/// may be another file's before its close is done.
const BEGINNING_COUNTS: [&str; 3] = ["close", "fsync", "fdatasync"];

/// One of a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A string: a path, or what is written.
    Bytes(Vec<u8>),
    /// A number, flags, or what has no other place.
    Word(String),
}

/// A system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The thread that made it.
    pub(crate) thread: u64,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Argument>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A sync or a close begins.
    Begins(Call),
    /// With what it returned.
    Done(Call, i64),
    /// It failed.
    Failed(Call),
}

/// Reads a trace.
pub(crate) fn read(mut lines: impl BufRead) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut begun = HashMap::new();
    let mut line = String::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number += 1;
        if lines.read_line(&mut line)? == 0 {
            return Ok(steps);
        }
        let read = read_line(line.trim_end(), &mut begun, &mut steps);
        read.with_context(|| format!("line {number} of the trace"))?;
    }
}

fn read_line(line: &str, begun: &mut HashMap<u64, String>, steps: &mut Vec<Step>) -> Result<()> {
    let (thread, rest) = line.split_once(' ').context("expected a thread's number")?;
    let thread: u64 = thread.parse().context("expected a thread's number")?;
    let rest = rest.trim_start();
    if rest.starts_with("+++") || rest.starts_with("---") {
        return Ok(());
    }
    if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
        let (name, arguments) = head.split_once('(').context("expected a call")?;
        if BEGINNING_COUNTS.contains(&name) {
            steps.push(Step::Begins(call(thread, name, arguments)?));
        }
        begun.insert(thread, head.to_owned());
        return Ok(());
    }
    let (call, result) = if let Some(resumed) = rest.strip_prefix("<... ") {
        let (_, tail) = resumed.split_once(" resumed>").context("expected what is resumed")?;
        complete(thread, &(begun.remove(&thread).context("nothing was begun")? + tail))?
    } else {
        let (call, result) = complete(thread, rest)?;
        let begins = call.clone().filter(|call| BEGINNING_COUNTS.contains(&call.name.as_str()));
        steps.extend(begins.map(Step::Begins));
        (call, result)
    };
    if let Some(call) = call {
        steps.push(match result {
            Some(result) => Step::Done(call, result),
            None => Step::Failed(call),
        });
    }
    Ok(())
}

/// A whole call, `None` if its process ended within it, and what it returned, unless it failed.
fn complete(thread: u64, text: &str) -> Result<(Option<Call>, Option<i64>)> {
    let (name, rest) = text.split_once('(').context("expected a call")?;
    let (arguments, result) = rest.rsplit_once(") ").context("expected the end of a call")?;
    let result = result.trim_start().strip_prefix("= ").context("expected a result")?;
    let result = result.split(' ').next().unwrap_or(result);
    if result == "?" {
        return Ok((None, None));
    }
    // Flags are told in hexadecimal.
    let number = match result.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => result.parse(),
    };
    let result = number.with_context(|| format!("{result}: expected a number"))?;
    Ok((Some(call(thread, name, arguments)?), (result >= 0).then_some(result)))
}

fn call(thread: u64, name: &str, arguments: &str) -> Result<Call> {
    // strace ends what it cut short, where the call began but had not its arguments, so.
    let arguments = arguments.trim_end_matches([',', ' ']);
    let arguments = arguments.split(", ").filter(|text| !text.is_empty()).map(argument);
    let arguments = arguments.collect::<Result<_>>().with_context(|| name.to_owned())?;
    Ok(Call { thread, name: name.to_owned(), arguments })
}

fn argument(text: &str) -> Result<Argument> {
    let Some(quoted) = text.strip_prefix('"') else { return Ok(Argument::Word(text.to_owned())) };
    let Some(hex) = quoted.strip_suffix('"') else {
        bail!("strace has cut a string; give it a larger -s");
    };
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let byte = |escape: &[u8]| match (digit(escape.get(2)), digit(escape.get(3))) {
        (Some(high), Some(low)) if escape.starts_with(b"\\x") => u8::try_from(high << 4 | low).ok(),
        _ => None,
    };
    let bytes = hex.as_bytes().chunks(4).map(byte).collect::<Option<Vec<u8>>>();
    Ok(Argument::Bytes(bytes.context("expected \\x…")?))
}

impl Call {
    /// A number among the arguments.
    pub(crate) fn number(&self, at: usize) -> Result<i64> {
        let word = self.word(at)?;
        word.parse().with_context(|| format!("{}: {word}: expected a number", self.name))
    }

    /// Flags, or any other word.
    pub(crate) fn word(&self, at: usize) -> Result<&str> {
        match self.arguments.get(at) {
            Some(Argument::Word(word)) => Ok(word),
            _ => bail!("{}: expected a word as argument {at}", self.name),
        }
    }

    /// What is written, or a path.
    pub(crate) fn bytes(&self, at: usize) -> Result<&[u8]> {
        match self.arguments.get(at) {
            Some(Argument::Bytes(bytes)) => Ok(bytes),
            _ => bail!("{}: expected a string as argument {at}", self.name),
        }
    }

    /// A path.
    pub(crate) fn path(&self, at: usize) -> Result<&str> {
        std::str::from_utf8(self.bytes(at)?).context("a path that is no text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_overlap_are_told_apart() {
        let text = "\
7 pwrite64(9, \"\\x43\\x2c\\x00\", 3, 16) = 3
7 fsync(9 <unfinished ...>
8  unlink(\"\\x61\") = -1 ENOENT (No such file or directory)
8 openat(AT_FDCWD, \"\\x61\", O_RDONLY|O_CLOEXEC) = 5
7 <... fsync resumed>)         = 0
7 --- SIGKILL ---
8 fsync(5)    = ?
8 fcntl(5, F_GETFD)             = 0x1 (flags FD_CLOEXEC)
7 +++ killed by SIGKILL +++
";
        let steps = read(text.as_bytes()).unwrap();
        let told: Vec<String> = steps
            .iter()
            .map(|step| match step {
                Step::Begins(call) => format!("{} {}…", call.thread, call.name),
                Step::Done(call, result) => format!("{} {} {result}", call.thread, call.name),
                Step::Failed(call) => format!("{} {} failed", call.thread, call.name),
            })
            .collect();
        let expected =
            ["7 pwrite64 3", "7 fsync…", "8 unlink failed", "8 openat 5", "7 fsync 0", "8 fcntl 1"];
        assert_eq!(told, expected);
        let Some(Step::Done(write, _)) = steps.first() else { unreachable!() };
        assert_eq!((write.bytes(1).unwrap(), write.number(3).unwrap()), (&b"C,\0"[..], 16));
    }

    #[test]
    fn what_is_cut_or_strange_is_refused() {
        for bad in ["write", "7 write(1, \"\\x61\"..., 900) = 900", "7 write(1, \"a\", 1) = 1"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
