//! `changetape verify --against`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use changetape_deployment::Deployment;
use changetape_replayer::verify::{
    Comparison, Difference, Found, How, Subject, Verification, VerifyOptions, VerifyProgress,
};
use changetape_tape::TapeReader;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::args::{Format, OutputArgs, VerifyArgs};
use crate::exit::Exit;
use crate::progress::{self, Line};
use crate::replay::stop_when;
use crate::{info, report, signals};

/// Compares a database with a tape.
pub(super) fn run(args: &VerifyArgs, uri: &str, output: &OutputArgs) -> anyhow::Result<Exit> {
    let options = args.options()?;
    let path = args.tape.path()?;
    // The tape first: a database need not be bothered for a tape that cannot be read.
    let tape = TapeReader::open(path)?;
    if let Some(unseen) = info::unseen(tape.tail()) {
        tracing::info!("left out {unseen}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let compared = runtime.block_on(async {
        let signalled = signals::stop_on_signal()?;
        compare(tape, uri, options, output, &signalled).await
    });
    runtime.shutdown_background();
    let Some(compared) = compared? else {
        tracing::warn!("interrupted before everything was compared; nothing is proven");
        return Ok(Exit::Interrupted);
    };
    report::print(&match output.format {
        Format::Text => text(path, &compared, "--limit"),
        Format::Json => json(path, &compared).to_string(),
    })?;
    Ok(if compared.is_same() { Exit::Done } else { Exit::Loss })
}

/// Compares; `None` if a signal came before the end. What is under way then goes on by itself: it
/// only reads, so nothing has to be waited for, least of all a database that is away.
pub(crate) async fn compare(
    tape: TapeReader,
    uri: &str,
    options: VerifyOptions,
    output: &OutputArgs,
    signalled: &CancellationToken,
) -> anyhow::Result<Option<Comparison>> {
    let stop = stop_when(signalled);
    let comparing = async {
        let deployment = Deployment::connect(uri).await?;
        let progress = Arc::new(VerifyProgress::default());
        let _shown = progress::show(output, line(Arc::clone(&progress)));
        let verification = Verification::new(tape, deployment, options);
        let compared = tokio::task::spawn_blocking(move || verification.run(&progress, &stop));
        anyhow::Ok(compared.await.context("the comparison ended unexpectedly; this is a bug")??)
    };
    tokio::select! {
        compared = comparing => compared,
        () = signalled.cancelled() => Ok(None),
    }
}

fn line(progress: Arc<VerifyProgress>) -> impl FnMut() -> Line + Send + 'static {
    move || {
        let (read, of) = progress.events();
        let text = format!(
            "pass {} of {}: read {} of {}; compared {}",
            progress.pass(),
            progress.passes(),
            report::count(read),
            report::events(of),
            report::counted(progress.documents(), "document"),
        );
        Line { text, part: Some((read, of)) }
    }
}

/// Why nothing was compared, if nothing was.
fn nothing(compared: &Comparison) -> Option<String> {
    compared.says_nothing.then(|| match compared.range.end.since(compared.range.start) {
        0 => "the tape has no event in this range".to_owned(),
        events => format!(
            "of what is selected the tape says nothing in this range ({})",
            report::events(events)
        ),
    })
}

/// What was found, for people; `more` is where they get a longer list.
pub(crate) fn text(path: &Path, compared: &Comparison, more: &str) -> String {
    let mut lines = vec![headline(path, compared)];
    lines.extend(compared.listed.iter().map(|difference| format!("  {difference}")));
    let left = compared.differences.total() - compared.listed.len() as u64;
    if left > 0 {
        lines.push(format!("  and {} more ({more})", report::count(left)));
    }
    if compared.unknown > 0 {
        lines.push("not judged, as the tape does not say what must be there now:".to_owned());
        let named = compared.unknowns.iter();
        lines.extend(named.map(|it| format!("  {}: document {}", it.namespace, it.id)));
        let left = compared.unknown - compared.unknowns.len() as u64;
        if left > 0 {
            lines.push(format!("  and {} more", report::count(left)));
        }
    }
    lines.extend(compared.gaps.iter().map(|gap| format!("crossed a gap: {gap}")));
    lines.join("\n")
}

fn headline(path: &Path, compared: &Comparison) -> String {
    if let Some(why) = nothing(compared) {
        return format!("nothing was compared: {why}");
    }
    let path = path.display();
    let what = format!(
        "compared {} in {} after {}, in {}",
        report::counted(compared.documents, "document"),
        report::counted(compared.collections, "collection"),
        report::events(compared.range.end.since(compared.range.start)),
        report::duration(compared.elapsed),
    );
    let unknown = format!("{} cannot be judged", report::counted(compared.unknown, "document"));
    let differences = compared.differences;
    match (differences.total(), compared.unknown) {
        (0, 0) => format!("the database is what {path} says: {what}"),
        (0, _) => format!("nothing differs from what {path} says, but {unknown}; {what}"),
        (_, n) => format!(
            "the database differs from what {path} says: {} missing, {} extra, {} different{}; \
             {what}",
            report::count(differences.missing),
            report::count(differences.extra),
            report::count(differences.different),
            if n > 0 { format!(", {unknown}") } else { String::new() },
        ),
    }
}

/// What was found, for programs.
pub(crate) fn json(path: &Path, compared: &Comparison) -> Value {
    let unknown = |it: &changetape_replayer::verify::Unknown| json!({"namespace": it.namespace.to_string(), "id": it.id});
    let why = nothing(compared);
    json!({
        "tape": path.display().to_string(),
        "same": why.is_none().then(|| compared.is_same()),
        "notCompared": why,
        "startSeq": compared.range.start.get(),
        "endSeq": compared.range.end.get(),
        "passes": compared.passes,
        "collections": compared.collections,
        "documents": compared.documents,
        "missing": compared.differences.missing,
        "extra": compared.differences.extra,
        "different": compared.differences.different,
        "differences": compared.listed.iter().map(difference_json).collect::<Vec<_>>(),
        "unknown": compared.unknown,
        "unknownDocuments": compared.unknowns.iter().map(unknown).collect::<Vec<_>>(),
        "gaps": compared.gaps.iter().map(info::gap_json).collect::<Vec<_>>(),
        "readingSeconds": compared.reading.as_secs_f64(),
        "elapsedSeconds": compared.elapsed.as_secs_f64(),
    })
}

fn difference_json(difference: &Difference) -> Value {
    let (what, name) = match &difference.subject {
        Subject::Collection => ("collection", None),
        Subject::Options => ("options", None),
        Subject::Index(name) => ("index", Some(name)),
        Subject::Document(id) => ("document", Some(id)),
    };
    let (found, field) = match &difference.found {
        Found::Missing => ("missing", None),
        Found::Extra => ("extra", None),
        Found::OtherKind => ("otherKind", None),
        Found::Field(field) => ("different", Some(field)),
    };
    let types = field.and_then(|field| match field.how {
        How::Type { expected, found } => Some(json!({"expected": expected, "found": found})),
        _ => None,
    });
    json!({
        "namespace": difference.namespace.to_string(),
        "what": what,
        "name": name,
        "found": found,
        "path": field.map(|field| &field.path),
        "how": field.map(|field| field.how.as_str()),
        "types": types,
    })
}
