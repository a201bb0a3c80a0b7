//! `changetape verify`.

pub(crate) mod against;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use changetape_core::Seq;
use changetape_tape::{Damage, Repaired, Tail, Verified, repair, verify};
use serde_json::{Value, json};

use crate::args::{Format, OutputArgs, VerifyArgs};
use crate::exit::Exit;
use crate::info::{gap_json, unseen};
use crate::progress::{self, Line};
use crate::report;

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    if let Some(uri) = args.against()? {
        return against::run(args, &uri, output);
    }
    let path = args.tape.path()?;
    if args.repair {
        let repaired = with_progress(output, |progress| repair(path, progress))?;
        report::print(&match output.format {
            Format::Text => repaired_text(path, &repaired),
            Format::Json => repaired_json(path, &repaired).to_string(),
        })?;
        let lost = repaired.base_lost || !repaired.gaps.is_empty();
        return Ok(if lost { Exit::Loss } else { Exit::Done });
    }
    let verified = with_progress(output, |progress| verify(path, progress))?;
    report::print(&match output.format {
        Format::Text => text(path, &verified),
        Format::Json => json(path, &verified).to_string(),
    })?;
    Ok(if verified.damages.is_empty() { Exit::Done } else { Exit::Loss })
}

/// Runs a job that reads the tape, and shows how far that is.
fn with_progress<T>(
    output: &OutputArgs,
    job: impl FnOnce(&mut dyn FnMut(Seq, Seq)) -> Result<T, changetape_tape::Error>,
) -> Result<T, changetape_tape::Error> {
    let counters = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let _shown = progress::show(output, {
        let counters = Arc::clone(&counters);
        move || {
            let part = (counters.0.load(Relaxed), counters.1.load(Relaxed));
            let text = format!("verified {} of {}", report::count(part.0), report::events(part.1));
            Line { text, part: Some(part) }
        }
    });
    job(&mut |seq, end| {
        counters.0.store(seq.get(), Relaxed);
        counters.1.store(end.get(), Relaxed);
    })
}

fn text(path: &Path, verified: &Verified) -> String {
    let mut lines = Vec::new();
    if verified.damages.is_empty() {
        lines.push(format!(
            "{} is sound: {} in {}, all as they were written",
            path.display(),
            report::events(verified.events),
            report::counted(verified.segments, "segment")
        ));
        if let Some(base) = &verified.base {
            lines.push(format!("so is its base: {}", report::base(base)));
        }
    } else {
        lines.push(format!("{} is damaged:", path.display()));
        lines.extend(damage_lines(&verified.damages));
        lines.push(format!(
            "{} can be read; `changetape verify --repair {}` keeps them, and notes a gap where \
             others are lost",
            report::events(verified.events),
            path.display()
        ));
    }
    lines.extend(verified.gaps.iter().map(|gap| format!("gap {gap}")));
    if let Some(unseen) = unseen(&verified.unseen) {
        lines.push(format!("not verified: {unseen}"));
    }
    lines.join("\n")
}

fn damage_lines(damages: &[Damage]) -> impl Iterator<Item = String> {
    damages.iter().map(|damage| format!("  {damage}"))
}

fn json(path: &Path, verified: &Verified) -> Value {
    json!({
        "tape": path.display().to_string(),
        "sound": verified.damages.is_empty(),
        "events": verified.events,
        "segments": verified.segments,
        "base": verified.base.as_ref().map(report::base_json),
        "damages": damages_json(&verified.damages),
        "gaps": verified.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "beingRecorded": matches!(verified.unseen, Tail::BeingRecorded(_)),
        "notVerified": unseen(&verified.unseen),
    })
}

fn damages_json(damages: &[Damage]) -> Vec<Value> {
    let damage = |damage: &Damage| {
        json!({
            "what": damage.what,
            "startSeq": damage.events.as_ref().map(|events| events.start.get()),
            "endSeq": damage.events.as_ref().map(|events| events.end.get()),
        })
    };
    damages.iter().map(damage).collect()
}

fn repaired_text(path: &Path, repaired: &Repaired) -> String {
    if repaired.damages.is_empty() {
        return format!("{} is sound: there is nothing to repair", path.display());
    }
    let mut lines = vec![format!("{} was damaged:", path.display())];
    lines.extend(damage_lines(&repaired.damages));
    lines.push(match repaired.gaps.len() {
        0 => "it is repaired; no event is lost".to_owned(),
        _ => "it is repaired; events are lost where it has these gaps now:".to_owned(),
    });
    lines.extend(repaired.gaps.iter().map(|gap| format!("  {gap}")));
    if repaired.base_lost {
        lines.push("its base is lost; what is left of it is kept as base.damaged".to_owned());
    }
    lines.join("\n")
}

fn repaired_json(path: &Path, repaired: &Repaired) -> Value {
    json!({
        "tape": path.display().to_string(),
        "damages": damages_json(&repaired.damages),
        "gaps": repaired.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "baseLost": repaired.base_lost,
    })
}
