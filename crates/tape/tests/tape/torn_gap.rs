//! Goal: of an append behind a gap that is cut short, no event is there without the gap; and nothing
//! that was acknowledged before is refused for it.
//! Method: the log's files before such an append, and after it cut to each length between: what a
//! full disk or a power loss may leave. The seed is printed.

use changetape_tape::{Batch, TapeReader};

use crate::image::Image;
use crate::samples;

#[test]
fn of_an_append_behind_a_gap_that_is_cut_short_no_event_is_there_without_the_gap() {
    let mut random = samples::seeded();
    let (mut refused, mut with_gap) = (Vec::new(), 0);
    // How sled orders what is in one transaction depends on the places.
    for _ in 0..12 {
        let (before, behind) = (random.u64(1..40), random.u64(0..3));
        let dir = samples::in_memory_dir();
        let path = dir.path().join("orders.tape");
        let mut writer = samples::tape_of(&path, [before]);
        let old = Image::of(&path);
        let end = before + behind;
        let events: Vec<_> = (before..end).map(samples::event).collect();
        let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
        let (token, arrival) = (samples::token(end), samples::arrival(before));
        let batch = Batch { events: &events, token: &token, arrival };
        writer.append_behind(samples::gap(3), &batch).unwrap();
        let new = Image::of(&path);
        drop(writer);
        for (file, bytes) in new.0.iter().filter(|(file, _)| file.starts_with("log/")) {
            let known = old.0.get(file).map_or(&[][..], Vec::as_slice);
            for len in known.len()..bytes.len() {
                let mut cut = old.clone();
                cut.0.insert(file.clone(), bytes[..len].to_vec());
                cut.restore(&path);
                let reader = match TapeReader::open(&path) {
                    Ok(reader) => reader,
                    Err(error) => {
                        refused.push(format!("{file} cut to {len}: {error}"));
                        continue;
                    }
                };
                let gaps = reader.gaps().len();
                assert!(reader.end().get() >= before, "{file} cut to {len}");
                assert!(gaps == 1 || reader.end().get() == before, "{file} cut to {len}");
                with_gap += gaps;
            }
        }
    }
    assert_eq!(refused, [""; 0], "nothing that was acknowledged is missing");
    assert!(with_gap > 0);
}
