//! An event: each field that is asked for, and what a `watch()` would have shown of it.

#![no_main]

use changetape_core::{ChangeEvent, PublicOptions, public_event};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(event) = ChangeEvent::from_bytes(input) else { return };
    let _ = (event.token(), event.operation_type(), event.cluster_time(), event.wall_time());
    let _ = (event.namespace(), event.renamed_to(), event.document_key(), event.full_document());
    let _ = (event.raw_update(), event.update_description(), event.operation_description());
    let _ = event.transaction();
    for options in [PublicOptions::plain(), PublicOptions::expanded("6.1.0")] {
        if let Ok(Some(public)) = public_event(&event, options) {
            let _ = ChangeEvent::from_bytes(public.as_bytes()).expect("a document");
        }
    }
    assert_eq!(event.clone().into_owned().as_bytes(), input);
});
