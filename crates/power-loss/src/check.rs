//! Opening what a power loss left.
//!
//! A tape must be there once it was acknowledged, and be sound before anyone mends it and after.
//! Whoever opens it, to read or to record, finds every acknowledged event and perhaps some more,
//! each with the bytes the server sent, one behind the other, and each gap among them; what is gone
//! from the beginning, retention dropped. Where the recording began with a base, whoever finds a tape finds all of that,
//! and nothing of another. The recording continues behind the last event, neither before it nor after
//! the next, and can: one more event is appended.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::{Arrival, ChangeEvent, ClusterTime, ResumeToken, Seq};
use changetape_tape::{
    Base, Batch, Checkpoint, Definition, TapeDraft, TapeReader, TapeWriter, tape_exists, verify,
};

/// Every event there is, and what there was before.
#[derive(Debug)]
pub(crate) struct Reference {
    events: Vec<RawDocumentBuf>,
    /// The events before which others are missing.
    gaps: Vec<Seq>,
    base: Option<(ClusterTime, Contents)>,
}

/// What a base holds.
type Contents = Vec<(Definition, Vec<RawDocumentBuf>)>;

impl Reference {
    /// Takes those of a tape that nothing happened to. When the base was taken only the recorded
    /// tape tells.
    pub(crate) fn read(tape: &Path, recorded: &Path) -> Result<Self> {
        let mut events = Vec::new();
        let reader = TapeReader::open(tape)?;
        for block in reader.blocks(Seq::ZERO) {
            events.extend(block?.events().map(|recorded| recorded.event.as_raw().to_owned()));
        }
        let time = read_base(recorded)?.map(|(time, _)| time);
        let base = time.zip(read_base(tape)?.map(|(_, contents)| contents));
        Ok(Self { events, gaps: places(&reader), base })
    }

    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    fn event(&self, seq: u64) -> Option<&RawDocument> {
        self.events.get(usize::try_from(seq).ok()?).map(AsRef::as_ref)
    }

    fn token(&self, seq: u64) -> Result<Option<ResumeToken>> {
        Ok(self.event(seq).map(|event| ChangeEvent::from(event).token()).transpose()?)
    }
}

/// What must be there.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    pub(crate) reference: &'a Reference,
    /// One past the last event that was acknowledged; `None` before the tape was made.
    pub(crate) acknowledged: Option<u64>,
    /// Whether a recorder opens it first, and not a reader.
    pub(crate) writing_first: bool,
}

impl Check<'_> {
    /// Opens the tape: where it ends, or `None` if there is none and none need be.
    pub(crate) fn run(&self, tape: &Path) -> Result<Option<u64>> {
        if !tape_exists(tape) {
            ensure!(self.acknowledged.is_none(), "the tape is gone");
            // What may be left of it is in nobody's way.
            TapeDraft::begin(tape).context("none can be made")?;
            return Ok(None);
        }
        sound(tape).context("before it was opened")?;
        let writer = if self.writing_first { Some(open(tape)?) } else { None };
        let reader = match &writer {
            Some(writer) => writer.reader(),
            None => TapeReader::open(tape).context("cannot be read")?,
        };
        let base = read_base(tape).context("its base cannot be read")?;
        ensure!(base == self.reference.base, "its base is another");
        let end = self.check_events(&reader)?;
        self.check_checkpoint(reader.checkpoint().as_ref(), end)?;
        drop(reader);
        let mut writer = match writer {
            Some(writer) => writer,
            None => open(tape)?,
        };
        let continued = writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get());
        ensure!(continued == end, "a recorder continues at {continued}, a reader ends at {end}");
        let next = self.append(&mut writer, end).context("cannot be continued")?;
        writer.close().context("cannot be closed")?;
        sound(tape).context("after it was closed")?;
        let reader = TapeReader::open(tape).context("cannot be read once it was continued")?;
        ensure!(reader.end().get() == next, "ends at {}, not at {next}", reader.end());
        Ok(Some(end))
    }

    /// Compares every event; where the tape ends.
    fn check_events(&self, reader: &TapeReader) -> Result<u64> {
        let end = reader.end().get();
        let acknowledged = self.acknowledged.unwrap_or(0);
        ensure!(end >= acknowledged, "ends at {end}, and {acknowledged} were acknowledged");
        let dropped = reader.dropped().map_or(Seq::ZERO, |dropped| dropped.end);
        ensure!(reader.start() == dropped, "begins at {}, not at {dropped}", reader.start());
        let mut next = reader.start().get();
        for block in reader.blocks(Seq::ZERO) {
            for recorded in block.context("a block cannot be read")?.events() {
                let expected = self.reference.event(next).map(RawDocument::as_bytes);
                let same = expected == Some(recorded.event.as_bytes());
                ensure!(recorded.seq.get() == next && same, "event {next} is another");
                next += 1;
            }
        }
        ensure!(next == end, "its events end at {next}, not at {end}");
        // One at the end may have come without what is behind it.
        let held = reader.start().next()..reader.end();
        let expected = self.reference.gaps.iter().filter(|at| held.contains(at));
        let gaps = places(reader).into_iter().filter(|at| held.contains(at));
        ensure!(gaps.eq(expected.copied()), "its gaps are at {:?}", places(reader));
        Ok(end)
    }

    /// The token is where the stream goes on after the last event: not before that, or it is
    /// recorded twice, nor after the next one, or that is lost. Tokens are compared as the server
    /// orders them, which only a test may do.
    fn check_checkpoint(&self, checkpoint: Option<&Checkpoint>, end: u64) -> Result<()> {
        let Some(checkpoint) = checkpoint else {
            ensure!(end == 0, "there are {end} events and no checkpoint");
            return Ok(());
        };
        ensure!(checkpoint.next.get() == end, "the checkpoint is at {}", checkpoint.next);
        let token = checkpoint.token.data();
        let last = end.checked_sub(1).map(|last| self.reference.token(last)).transpose()?.flatten();
        let next = self.reference.token(end)?;
        let behind = last.as_ref().is_none_or(|last| last.data() <= token);
        let before = next.as_ref().is_none_or(|next| token < next.data());
        ensure!(behind && before, "the checkpoint's token is not between {last:?} and {next:?}");
        Ok(())
    }

    /// Goes on recording; where the tape ends then.
    fn append(&self, writer: &mut TapeWriter, end: u64) -> Result<u64> {
        let Some(event) = self.reference.event(end) else { return Ok(end) };
        let token = ChangeEvent::from(event).token()?;
        let arrival = Arrival { wall_nanos: 0, monotonic_nanos: 0 };
        writer.append(&Batch { events: &[event], token: &token, arrival })?;
        Ok(end + 1)
    }
}

/// Where a tape has gaps.
fn places(reader: &TapeReader) -> Vec<Seq> {
    reader.gaps().iter().map(|gap| gap.at).collect()
}

fn read_base(tape: &Path) -> Result<Option<(ClusterTime, Contents)>> {
    let Some(base) = Base::open(tape)? else { return Ok(None) };
    let mut contents = Contents::new();
    for collection in base.collections() {
        let collection = collection?;
        let mut documents = Vec::new();
        for block in base.blocks(&collection) {
            documents.extend(block?.documents().map(ToOwned::to_owned));
        }
        contents.push((collection.definition, documents));
    }
    Ok(Some((base.summary().time, contents)))
}

fn open(tape: &Path) -> Result<TapeWriter> {
    TapeWriter::open(tape).context("cannot be recorded onto")
}

fn sound(tape: &Path) -> Result<()> {
    let damages = verify(tape, &mut |_, _| ())?.damages;
    let damages: Vec<String> = damages.iter().map(ToString::to_string).collect();
    ensure!(damages.is_empty(), "{}", damages.join("; "));
    Ok(())
}
