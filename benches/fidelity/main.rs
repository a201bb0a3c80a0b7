//! How exactly events leave when they are due, how fast they leave when nobody waits, and how soon
//! after somebody goes to another place.
//!
//! ```text
//! cargo bench -p changetape-benches --bench fidelity -- [--rounds 5] [--seconds 60] \
//!     [--gigabytes 10] [--only paced|fast|seek]
//! ```
//! | part | measures | beside it |
//! | --- | --- | --- |
//! | `paced.rs` | lateness, drift and CPU of a replay in its own rhythm; when its events are received | tokio's `sleep_until` |
//! | `fast.rs` | replays at full speed: to nowhere, as NDJSON into a file | a scan of the tape |
//! | `seek.rs` | from asking for another place, or from opening a tape, to the first event | |
//!
//! Each run has processes of its own. All runs are shown, none is left out, and what the host was busy
//! with stands beside each; at the end all figures and their medians, beside what is to be reached.
//! (Of what is never to happen, all runs together.)

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod fast;
mod paced;
mod receiver;
mod runs;
mod seek;
mod tapes;

use changetape_benches::Error;
use changetape_benches::arguments::Arguments;
use runs::Runs;

fn main() -> Result<(), Error> {
    let arguments = Arguments::given();
    match arguments.text("--phase") {
        Some("play") => return paced::play(&arguments),
        Some("tokio") => return paced::sleep_until(&arguments),
        Some("receive") => return receiver::receive(&arguments),
        Some("scan") => return fast::scan(&arguments),
        Some("replay") => return fast::replay(&arguments),
        Some("seek") => return seek::seek(&arguments),
        Some("begin") => return seek::begin(&arguments),
        Some(other) => return Err(format!("no phase {other}").into()),
        None => {}
    }
    let only = arguments.text("--only");
    let parts =
        [("paced", paced::measure as Part), ("fast", fast::measure), ("seek", seek::measure)];
    let chosen = |name: &str| only.is_none_or(|only| only == name);
    if !parts.iter().any(|(name, _)| chosen(name)) {
        return Err("--only takes paced, fast or seek".into());
    }
    let mut runs = Runs::default();
    for (_, measure) in parts.iter().filter(|(name, _)| chosen(name)) {
        measure(&arguments, &mut runs)?;
    }
    runs.show();
    Ok(())
}

/// Takes a part's figures.
type Part = fn(&Arguments, &mut Runs) -> Result<(), Error>;

/// How often each is taken.
fn rounds(arguments: &Arguments) -> Result<u64, Error> {
    arguments.or("--rounds", 5)
}
