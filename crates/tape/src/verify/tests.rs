//! Goal: verifying finds what is wrong and nothing else, also while others change the tape.
//! Method: what the catalog counts is changed; and whoever is told of the progress records, merges,
//! or seals.

use super::*;
use crate::layout::LogNumber;
use crate::lock::{Purpose, TapeLock};
use crate::{Retain, TapeOptions, TapeReader, TapeWriter, repair, samples};

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

/// Seven segments of five events each.
fn seven_segments(path: &Path) {
    let alone = TapeOptions { segment_size: 1, ..TapeOptions::default() };
    alone.create(path, samples::metadata()).unwrap().close().unwrap();
    for segment in 0..7 {
        let mut writer = alone.open(path).unwrap();
        samples::append(&mut writer, segment * 5..segment * 5 + 5);
        writer.close().unwrap();
    }
}

/// A recording of five more comes and goes, and with its end all becomes one segment.
fn merge(path: &Path) {
    let mut writer = TapeWriter::open(path).unwrap();
    samples::append(&mut writer, 35..40);
    writer.close().unwrap();
    assert_eq!(catalog::read(path).unwrap().segments.len(), 1);
}

#[test]
fn what_is_merged_while_a_tape_is_verified_is_verified_once() {
    for (read, recorded_on) in (1..=7).flat_map(|read| [(read, false), (read, true)]) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        seven_segments(&path);
        let (mut calls, mut recording) = (0, None);
        let verified = verify(&path, &mut |_, _| {
            calls += 1;
            if calls == read {
                merge(&path);
                recording = recorded_on.then(|| {
                    let mut writer = TapeWriter::open(&path).unwrap();
                    samples::append(&mut writer, 40..43);
                    writer
                });
            }
        });
        let Verified { events, segments, damages, unseen, .. } = verified.unwrap();
        let case = format!("after {read}, recorded on: {recorded_on}");
        assert_eq!((events, segments, damages), (40, 1, vec![]), "{case}");
        assert_eq!(matches!(unseen, Tail::BeingRecorded(_)), recorded_on, "{case}");
    }
}

#[test]
fn what_is_dropped_while_a_tape_is_verified_is_not_missed() {
    for read in 1..=7 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        seven_segments(&path);
        let retain = Retain { age: None, bytes: Some(0) };
        let options = TapeOptions { segment_size: 1, retain, ..TapeOptions::default() };
        let mut calls = 0;
        let verified = verify(&path, &mut |_, _| {
            calls += 1;
            if calls == read {
                options.open(&path).unwrap().close().unwrap();
            }
        });
        let Verified { events, segments, damages, .. } = verified.unwrap();
        // All but the last are dropped.
        let left = 7.min(read + 1);
        assert_eq!((events, segments, damages), (left * 5, left, vec![]), "after {read}");
    }
}

#[test]
fn damage_in_what_was_merged_while_a_tape_is_verified_is_found() {
    for read in 1..=7 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        seven_segments(&path);
        let mut calls = 0;
        let verified = verify(&path, &mut |_, _| {
            calls += 1;
            if calls == read {
                merge(&path);
                let merged = layout::segment(&path, &(Seq::ZERO..Seq::new(40)));
                let mut bytes = std::fs::read(&merged).unwrap();
                let middle = bytes.len() / 3;
                bytes[middle] ^= 4;
                std::fs::write(&merged, bytes).unwrap();
            }
        });
        let Verified { events, damages, .. } = verified.unwrap();
        let lost = Some(Seq::ZERO..Seq::new(40));
        assert_eq!(damages.iter().map(|damage| damage.events.clone()).collect::<Vec<_>>(), [lost]);
        assert_eq!(events, 0, "nothing of it can be read any more");
    }
}

#[test]
fn who_seals_what_a_killed_process_left_is_waited_for() {
    let made = samples::tape_with(5, &[&[(&[(5, 9)], None, 9)], &[(&[(9, 12)], None, 12)]], 12);
    let log = layout::log(&made.path, LogNumber::FIRST);
    let elsewhere = made.path.with_extension("elsewhere");
    let mut sealing = None;
    let verified = verify(&made.path, &mut |_, _| {
        // Whoever has the lock may do with the logs what it likes.
        let lock = TapeLock::take(&made.path, &made.path, Purpose::Recovering).unwrap();
        std::fs::rename(&log, &elsewhere).unwrap();
        let (log, elsewhere) = (log.clone(), elsewhere.clone());
        sealing = Some(std::thread::spawn(move || {
            std::fs::rename(elsewhere, log).unwrap();
            drop(lock);
        }));
    });
    sealing.unwrap().join().unwrap();
    let Verified { events, damages, unseen, .. } = verified.unwrap();
    assert_eq!((events, damages, unseen), (12, vec![], Tail::Nothing));
}
