//! What the catalog counts is compared with the segments, and a repair counts again.

use super::*;
use crate::{TapeOptions, TapeReader, repair, samples};

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
    let saying = ["in the segments", "in the segments", "does not say what is in it"];
    for (catalog, what) in wrongs.into_iter().zip(saying) {
        assert_eq!(findings(), Vec::<String>::new());
        catalog::write(&path, &catalog).unwrap();
        let found = findings();
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
        assert_eq!(repair(&path, &mut |_, _| {}).unwrap().gaps, []);
        let summary = TapeReader::open(&path).unwrap().summary().unwrap();
        assert_eq!((summary.namespaces, summary.blocks), (sound.namespaces.clone(), sound.blocks));
    }
}
