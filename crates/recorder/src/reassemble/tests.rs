//! Replies as a server with `$changeStreamSplitLargeEvent` sends them, made by hand: the mongod
//! that tests find need not have it.

use bson::rawdoc;

use super::*;

fn splitting() -> Reassembler {
    Reassembler::new(LargeEvents::Split)
}

fn token(n: i32) -> ResumeToken {
    ResumeToken::from_raw(&rawdoc! {"_data": format!("{n:02}")})
}

fn event(n: i32) -> RawDocumentBuf {
    rawdoc! {"_id": {"_data": format!("{n:02}")}, "operationType": "insert"}
}

/// The event that carries `token`, a fragment with one field of its own.
fn fragment_of(n: i32, number: i32, of: i32) -> RawDocumentBuf {
    let mut fragment = rawdoc! {
        "_id": {"_data": format!("{n:02}")},
        "splitEvent": {"fragment": number, "of": of},
    };
    fragment.append(bson::raw::CString::try_from(format!("f{number}")).unwrap(), number);
    fragment
}

/// What a reply with these events, and a token of its own, puts onto the tape.
fn select(
    reassembler: &mut Reassembler,
    sent: &[RawDocumentBuf],
    token_of_reply: i32,
    wanted: u64,
) -> Result<Option<Selected>, Error> {
    let sent: Vec<&RawDocument> = sent.iter().map(RawDocumentBuf::as_ref).collect();
    reassembler.select(&sent, token(token_of_reply), wanted)
}

fn selected(pieces: impl Into<Vec<Piece>>, after: i32) -> Selected {
    Selected { pieces: pieces.into(), token: token(after) }
}

fn whole(n: i32, fields: i32) -> Piece {
    let mut whole = rawdoc! {"_id": {"_data": format!("{n:02}")}};
    for number in 1..=fields {
        whole.append(bson::raw::CString::try_from(format!("f{number}")).unwrap(), number);
    }
    Piece::Whole(Box::new(whole))
}

#[test]
fn events_in_one_piece_are_taken_as_sent_up_to_what_is_wanted() {
    let sent = [event(1), event(2), event(3)];
    for (wanted, expected) in [
        (u64::MAX, selected([Piece::Sent(0), Piece::Sent(1), Piece::Sent(2)], 9)),
        (3, selected([Piece::Sent(0), Piece::Sent(1), Piece::Sent(2)], 9)),
        (2, selected([Piece::Sent(0), Piece::Sent(1)], 2)),
    ] {
        assert_eq!(select(&mut splitting(), &sent, 9, wanted).unwrap(), Some(expected));
    }
    // Nothing happened: the token alone.
    assert_eq!(select(&mut splitting(), &[], 9, 5).unwrap(), Some(selected([], 9)));
}

#[test]
fn a_field_of_that_name_is_left_alone_where_nothing_is_split() {
    let mut reassembler = Reassembler::new(LargeEvents::Refused);
    let expected = selected([Piece::Sent(0)], 9);
    assert_eq!(select(&mut reassembler, &[fragment_of(1, 1, 2)], 9, 5).unwrap(), Some(expected));
}

#[test]
fn fragments_become_one_event_with_the_last_token_and_every_field_in_order() {
    let sent = [event(1), fragment_of(2, 1, 3), fragment_of(3, 2, 3), fragment_of(4, 3, 3)];
    let expected = selected([Piece::Sent(0), whole(4, 3)], 9);
    assert_eq!(select(&mut splitting(), &sent, 9, 2).unwrap(), Some(expected));
}

#[test]
fn no_token_between_fragments_reaches_the_tape() {
    let mut reassembler = splitting();
    // The reply ends inside an event: its own token, 3, must be held back.
    let first = [event(1), fragment_of(2, 1, 4), fragment_of(3, 2, 4)];
    let expected = selected([Piece::Sent(0)], 1);
    assert_eq!(select(&mut reassembler, &first, 3, u64::MAX).unwrap(), Some(expected));
    // Nothing but a fragment, and nothing at all: there is no token to write.
    assert_eq!(select(&mut reassembler, &[fragment_of(4, 3, 4)], 4, u64::MAX).unwrap(), None);
    assert_eq!(select(&mut reassembler, &[], 4, u64::MAX).unwrap(), None);
    let rest = [fragment_of(5, 4, 4), event(6)];
    let expected = selected([whole(5, 4), Piece::Sent(1)], 7);
    assert_eq!(select(&mut reassembler, &rest, 7, u64::MAX).unwrap(), Some(expected));
}

#[test]
fn a_recording_that_has_enough_stops_behind_a_whole_event() {
    let sent = [fragment_of(1, 1, 2), fragment_of(2, 2, 2), fragment_of(3, 1, 2)];
    let mut reassembler = splitting();
    assert_eq!(select(&mut reassembler, &sent, 3, 1).unwrap(), Some(selected([whole(2, 2)], 2)));
    // What follows is left to the next recording, which the token leads to its first fragment.
    assert!(reassembler.part.is_none());
}

#[test]
fn fragments_that_do_not_follow_each_other_are_refused_by_name() {
    for (sent, expected, found) in [
        (vec![fragment_of(1, 2, 2)], "the first fragment", "fragment 2 of 2"),
        (vec![fragment_of(1, 1, 3), fragment_of(2, 3, 3)], "fragment 2 of 3", "fragment 3 of 3"),
        (vec![fragment_of(1, 1, 3), fragment_of(2, 1, 3)], "fragment 2 of 3", "fragment 1 of 3"),
        (vec![fragment_of(1, 1, 3), fragment_of(2, 2, 2)], "fragment 2 of 3", "fragment 2 of 2"),
        (vec![fragment_of(1, 1, 2), event(2)], "fragment 2 of 2", "an event that is none"),
    ] {
        let error = select(&mut splitting(), &sent, 9, u64::MAX).unwrap_err();
        let sentence = error.to_string();
        assert!(sentence.contains(&format!("expected {expected}")), "{sentence}");
        assert!(sentence.contains(&format!("sent {found}")), "{sentence}");
    }
}

#[test]
fn an_event_larger_than_a_tape_takes_is_not_collected() {
    let mut reassembler = splitting();
    let mut last = Ok(None);
    for number in 1..=5 {
        let mut fragment = fragment_of(number, number, 9);
        fragment.append(bson::cstr!("data"), "x".repeat(15 << 20));
        last = select(&mut reassembler, &[fragment], 9, u64::MAX);
    }
    assert!(last.unwrap_err().to_string().contains("no more than 67108864 bytes"));
}
