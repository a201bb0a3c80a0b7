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
        Format::Text => text(path, &compared),
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

/// What was found, for people.
pub(crate) fn text(path: &Path, compared: &Comparison) -> String {
    let mut lines = Vec::new();
    let differences = compared.differences;
    let what = format!(
        "{} in {} after {}, in {}",
        report::counted(compared.documents, "document"),
        report::counted(compared.collections, "collection"),
        report::events(compared.range.end.since(compared.range.start)),
        report::duration(compared.elapsed),
    );
    if differences.total() == 0 {
        lines.push(format!("the database is what {} says: compared {what}", path.display()));
    } else {
        lines.push(format!(
            "the database differs from what {} says: {} missing, {} extra, {} different; \
             compared {what}",
            path.display(),
            report::count(differences.missing),
            report::count(differences.extra),
            report::count(differences.different),
        ));
        lines.extend(compared.listed.iter().map(|difference| format!("  {difference}")));
        let more = differences.total() - compared.listed.len() as u64;
        if more > 0 {
            lines.push(format!("  and {} more (--limit)", report::count(more)));
        }
    }
    if compared.unknown > 0 {
        lines.push(format!(
            "{} cannot be judged: the tape does not say what {} must be",
            report::counted(compared.unknown, "document"),
            if compared.unknown == 1 { "it" } else { "they" },
        ));
        let named = compared.unknowns.iter();
        lines.extend(named.map(|it| format!("  {}: document {}", it.namespace, it.id)));
        let more = compared.unknown - compared.unknowns.len() as u64;
        if more > 0 {
            lines.push(format!("  and {} more", report::count(more)));
        }
    }
    lines.extend(compared.gaps.iter().map(|gap| format!("crossed a gap: {gap}")));
    lines.join("\n")
}

/// What was found, for programs.
pub(crate) fn json(path: &Path, compared: &Comparison) -> Value {
    let unknown = |it: &changetape_replayer::verify::Unknown| json!({"namespace": it.namespace.to_string(), "id": it.id});
    json!({
        "tape": path.display().to_string(),
        "same": compared.is_same(),
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
