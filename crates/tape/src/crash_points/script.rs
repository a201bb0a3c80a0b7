//! The script: what is appended to a tape, cut into recordings, and what the tape holds after it.

use std::collections::BTreeMap;
use std::path::Path;

use bson::raw::RawDocument;
use bson::rawdoc;
use changetape_core::{Arrival, ClusterTime, ResumeToken, Seq, WallTime};

use crate::{
    Batch, Checkpoint, Definition, Error, Gap, Retain, TapeDraft, TapeOptions, TapeReader,
    TapeWriter, Verified, layout, samples, verify,
};

/// How the script is cut into recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sessions {
    /// Two, which fill several logs each, and drop what is old.
    Long,
    /// One for each append, behind a base; their segments are merged, and all is kept.
    Short,
}

/// Events of each append; sizes that make blocks of their own and merge.
pub(super) const BATCHES: [u64; 9] = [3, 0, 40, 1, 60, 25, 2, 70, 5];

/// Before this append there is a gap.
const GAP_BEFORE: usize = 5;

impl Sessions {
    pub(super) const ALL: [Self; 2] = [Self::Long, Self::Short];

    /// So small that a long session fills several; so large that a few short ones are one.
    fn segment_size(self) -> u64 {
        match self {
            Self::Long => 900,
            Self::Short => 12_000,
        }
    }

    /// Whether a recording ends when so many appends have been made.
    fn end(self, appends: usize) -> bool {
        self == Self::Short || appends == 4 || appends == BATCHES.len()
    }

    fn options(self) -> TapeOptions {
        let segment_size = self.segment_size();
        let bytes = (self == Self::Long).then_some(3 * segment_size);
        let retain = Retain { age: None, bytes };
        TapeOptions { segment_size, retain, ..TapeOptions::default() }
    }

    fn create(self, path: &Path) -> Result<TapeWriter, Error> {
        if self == Self::Long {
            return self.options().create(path, samples::metadata());
        }
        let draft = TapeDraft::begin(path)?;
        let (time, taken) = (ClusterTime::at_second(1), WallTime::from_millis(1_000));
        let mut base = draft.begin_base(time, taken)?;
        base.collection(&Definition {
            db: "shop".into(),
            coll: "orders".into(),
            kind: "collection".into(),
            options: rawdoc! {},
            indexes: vec![],
        })?;
        base.document(&rawdoc! {"_id": 1})?;
        base.finish()?;
        draft.finish(samples::metadata(), self.options())
    }
}

/// How many events so many appends have.
pub(super) fn events_of(appends: usize) -> u64 {
    BATCHES.iter().take(appends).sum()
}

/// The token after so many appends: each has its own, also one without events.
fn token_after(appends: usize) -> ResumeToken {
    samples::token(10_000 + appends as u64)
}

/// Where the recording continues after so many appends.
fn checkpoint_after(appends: usize) -> Option<Checkpoint> {
    let next = Seq::new(events_of(appends));
    (appends > 0).then(|| Checkpoint { token: token_after(appends), next })
}

/// How many appends a tape has of the script, by where its recording continues.
#[track_caller]
fn appends_of(checkpoint: Option<&Checkpoint>, case: &str) -> usize {
    let found =
        (0..=BATCHES.len()).find(|appends| checkpoint_after(*appends).as_ref() == checkpoint);
    found.unwrap_or_else(|| panic!("{case}: {checkpoint:?} is after no append"))
}

/// Appends what the script asks for, from where the tape ends on; tells how many appends are
/// acknowledged.
pub(super) fn record(
    path: &Path,
    sessions: Sessions,
    acknowledged: &mut dyn FnMut(usize),
) -> Result<(), Error> {
    let mut writer = if crate::tape_exists(path) {
        sessions.options().open(path)?
    } else {
        sessions.create(path)?
    };
    let mut appends = appends_of(writer.checkpoint().as_ref(), "going on");
    while appends < BATCHES.len() {
        if let Err(error) = append(&mut writer, appends) {
            // As a recorder does: what was durable is sealed if it can be.
            let _ = writer.close();
            return Err(error);
        }
        appends += 1;
        acknowledged(appends);
        if sessions.end(appends) && appends < BATCHES.len() {
            writer.close()?;
            writer = sessions.options().open(path)?;
        }
    }
    writer.close()
}

fn append(writer: &mut TapeWriter, append: usize) -> Result<(), Error> {
    let first = events_of(append);
    let events: Vec<_> = (first..first + BATCHES[append]).map(samples::event).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let token = token_after(append + 1);
    let batch = Batch { events: &events, token: &token, arrival: samples::arrival(first) };
    let appended = match append {
        GAP_BEFORE => writer.append_behind(samples::gap(first), &batch),
        _ => writer.append(&batch),
    };
    appended.map(drop)
}

/// What a tape holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    start: Seq,
    events: BTreeMap<Seq, (Arrival, Vec<u8>)>,
    gaps: Vec<Gap>,
    checkpoint: Option<Checkpoint>,
    base: Option<Vec<u8>>,
}

impl Held {
    fn by(path: &Path, case: &str) -> Self {
        let reader = TapeReader::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
        let (start, checkpoint) = (reader.start(), reader.checkpoint());
        let mut events = BTreeMap::new();
        for block in reader.blocks(Seq::ZERO) {
            for recorded in block.unwrap_or_else(|error| panic!("{case}: {error}")).events() {
                let event = (recorded.arrival, recorded.event.as_bytes().to_vec());
                assert!(events.insert(recorded.seq, event).is_none(), "{case}");
            }
        }
        let base = std::fs::read(path.join(layout::BASE)).ok();
        Self { start, events, gaps: reader.gaps(), checkpoint, base }
    }

    /// What is left of it where everything before a place was dropped.
    fn from(mut self, start: Seq) -> Self {
        self.start = self.start.max(start);
        self.events = self.events.split_off(&self.start);
        self.gaps.retain(|gap| gap.at > self.start);
        self
    }
}

/// Checks what is on a tape where a recording has failed or was killed when so many appends were
/// acknowledged: those and, at most, the one that was being made. Opens it for recording, too.
pub(super) fn check(path: &Path, acknowledged: usize, case: &str) -> usize {
    if !crate::tape_exists(path) {
        assert_eq!(acknowledged, 0, "{case}: no tape");
        return 0;
    }
    // Reading first: it needs no more than a recorder.
    let held = Held::by(path, case);
    let appends = appends_of(held.checkpoint.as_ref(), case);
    let expected = acknowledged..=acknowledged + 1;
    assert!(expected.contains(&appends), "{case}: {appends} of {acknowledged} appends");
    let end = Seq::new(events_of(appends));
    let places: Vec<u64> = held.events.keys().map(|seq| seq.get()).collect();
    assert_eq!(places, (held.start.get()..end.get()).collect::<Vec<_>>(), "{case}");
    for (seq, (_, event)) in &held.events {
        assert_eq!(event, samples::event(seq.get()).as_bytes(), "{case}: {seq}");
    }
    let gap_at = Seq::new(events_of(GAP_BEFORE));
    let is_there = appends > GAP_BEFORE && held.start < gap_at;
    let gaps: Vec<Seq> = held.gaps.iter().map(|gap| gap.at).collect();
    assert_eq!(gaps, Vec::from_iter(is_there.then_some(gap_at)), "{case}");
    let Verified { damages, .. } = verify(path, &mut |_, _| ()).unwrap();
    assert_eq!(damages, [], "{case}");
    let writer = TapeWriter::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(writer.checkpoint(), held.checkpoint, "{case}");
    writer.close().unwrap();
    appends
}

/// What a tape holds after the whole script, if nothing happens meanwhile.
pub(super) fn undisturbed(sessions: Sessions) -> Held {
    let dir = super::in_memory_dir();
    let path = dir.path().join("orders.tape");
    record(&path, sessions, &mut |_| ()).unwrap();
    assert_eq!(check(&path, BATCHES.len(), "undisturbed"), BATCHES.len());
    Held::by(&path, "undisturbed")
}

/// Makes the rest of the script; then nothing tells the tape from one that was not disturbed.
pub(super) fn finish(path: &Path, sessions: Sessions, undisturbed: &Held, case: &str) {
    record(path, sessions, &mut |_| ()).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(verify(path, &mut |_, _| ()).unwrap().damages, [], "{case}");
    let held = Held::by(path, case);
    // How much was dropped depends on how the segments were cut.
    let start = held.start.max(undisturbed.start);
    assert!(start == Seq::ZERO || sessions == Sessions::Long, "{case}: {start}");
    assert!(held.from(start) == undisturbed.clone().from(start), "{case}: it is another tape");
}
