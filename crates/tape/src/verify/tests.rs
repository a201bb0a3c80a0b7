//! What the catalog counts is compared with the segments, and a repair counts again.

use super::*;
use crate::{TapeOptions, TapeReader, layout, repair, samples};

#[test]
fn what_the_catalog_counts_wrongly_is_noticed_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = TapeOptions::default().create(&path, samples::metadata()).unwrap();
    samples::append(&mut writer, 0..20);
    writer.close().unwrap();
    let sound = TapeReader::open(&path).unwrap().summary().unwrap();
    let findings = || {
        let damages = verify(&path, &mut |_, _| {}).unwrap().damages;
        damages.into_iter().map(|damage| damage.to_string()).collect::<Vec<_>>()
    };
    let known = catalog::read(&path).unwrap();
    let mut wrongs = [known.clone(), known.clone(), known];
    wrongs[0].kinds.list[0].1 += 1;
    wrongs[1].kinds.list.clear();
    wrongs[2].segments[0].blocks += 1;
    for catalog in wrongs {
        assert_eq!(findings(), Vec::<String>::new());
        catalog::write(&path, &catalog).unwrap();
        assert_eq!(findings(), [miscounted().to_string()]);
        let segments = || crate::disk::files(&path.join(layout::SEGMENTS)).unwrap();
        let before = segments();
        let repaired = repair(&path, &mut |_, _| {}).unwrap();
        assert_eq!((repaired.damages, repaired.gaps), (vec![miscounted()], vec![]));
        assert_eq!(segments(), before, "a sound segment stays as it is");
        let summary = TapeReader::open(&path).unwrap().summary().unwrap();
        assert_eq!((summary.namespaces, summary.blocks), (sound.namespaces.clone(), sound.blocks));
    }
}

#[test]
fn what_is_recorded_while_a_tape_is_verified_is_verified_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut writer = TapeOptions::default().create(&path, samples::metadata()).unwrap();
    samples::append(&mut writer, 0..5);
    writer.close().unwrap();
    let mut recorded = false;
    let verified = verify(&path, &mut |_, _| {
        if !std::mem::replace(&mut recorded, true) {
            let mut writer = TapeOptions::default().open(&path).unwrap();
            samples::append(&mut writer, 5..9);
            writer.close().unwrap();
        }
    });
    let Verified { events, segments, damages, .. } = verified.unwrap();
    assert_eq!((events, segments, damages), (9, 2, vec![]));
}
