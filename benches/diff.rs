//! Update diffs: reading and describing one, and applying one to a document; and deriving the
//! public form of a whole event.

use std::collections::HashMap;
use std::hint::black_box;

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_benches::{Error, recorded};
use changetape_core::{ChangeEvent, DisambiguatedPaths, PublicOptions, UpdateDiff, public_event};
use criterion::{Criterion, Throughput};

fn main() -> Result<(), Error> {
    let events = recorded()?;
    let updates = updates_with_documents(&events)?;
    let mut criterion = Criterion::default().configure_from_args();

    let mut group = criterion.benchmark_group("diff");
    group.throughput(Throughput::Elements(updates.len() as u64));
    group.bench_function("describe", |bencher| {
        let paths = DisambiguatedPaths::default();
        bencher.iter(|| {
            for (_, raw) in &updates {
                black_box(UpdateDiff::from_raw(raw).and_then(|diff| diff.describe(paths)).ok());
            }
        });
    });
    group.bench_function("apply", |bencher| {
        bencher.iter(|| {
            for (before, raw) in &updates {
                black_box(UpdateDiff::from_raw(raw).and_then(|diff| diff.apply(before)).ok());
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("public form", |bencher| {
        let options = PublicOptions::default();
        bencher.iter(|| {
            for event in &events {
                black_box(public_event(&ChangeEvent::from(event.as_ref()), options).ok());
            }
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Every recorded update with the document as it was before, which the events themselves tell.
fn updates_with_documents(
    events: &[RawDocumentBuf],
) -> Result<Vec<(RawDocumentBuf, RawDocumentBuf)>, Error> {
    let mut documents: HashMap<Vec<u8>, RawDocumentBuf> = HashMap::new();
    let mut updates = Vec::new();
    for raw in events {
        let event = ChangeEvent::from(raw.as_ref());
        let Some(key) = event.document_key()? else { continue };
        // Keys are unique within a collection only.
        let namespace = event.namespace()?.map(|ns| ns.to_string()).unwrap_or_default();
        let place = [namespace.as_bytes(), key.as_bytes()].concat();
        if let Some(document) = event.full_document()? {
            documents.insert(place, document.to_owned());
        } else if let Some(update) = event.raw_update()?
            && let Some(before) = documents.remove(&place)
        {
            let after = UpdateDiff::from_raw(update)?.apply(&before)?;
            updates.push((before, RawDocument::to_owned(update)));
            documents.insert(place, after);
        }
    }
    Ok(updates)
}
