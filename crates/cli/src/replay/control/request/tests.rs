//! Each form of a request, and what is none.

use std::time::Duration;

use changetape_core::Seq;

use super::*;

fn get(path: &str) -> Result<Request, Refusal> {
    read(&Method::GET, path, None)
}

fn post(path_and_query: &str) -> Result<Request, Refusal> {
    match path_and_query.split_once('?') {
        Some((path, query)) => read(&Method::POST, path, Some(query)),
        None => read(&Method::POST, path_and_query, None),
    }
}

#[test]
fn each_request_is_one_command() {
    assert_eq!(get("/status"), Ok(Request::Status));
    assert_eq!(read(&Method::HEAD, "/status", Some("")), Ok(Request::Status));
    assert_eq!(post("/stop"), Ok(Request::Stop));
    let seconds = Duration::from_secs;
    let place = |text: &str| SeekTo::Position(text.parse().unwrap());
    for (asked, command) in [
        ("/pause", Command::Pause),
        ("/resume?", Command::Resume),
        ("/step", Command::Step(1)),
        ("/step?n=20", Command::Step(20)),
        ("/speed?x=0.5", Command::Speed(Speed::Factor(0.5))),
        ("/speed?x=10x", Command::Speed(Speed::Factor(10.0))),
        ("/speed?x=max", Command::Speed(Speed::Max)),
        ("/seek?to=2026-03-01T12:00:00Z", Command::Seek(place("2026-03-01T12:00:00Z"))),
        ("/seek?to=2026-03-01T12%3A00%3a00Z", Command::Seek(place("2026-03-01T12:00:00Z"))),
        ("/seek?to=1772366400:1", Command::Seek(place("1772366400:1"))),
        ("/seek?to=%2342", Command::Seek(SeekTo::Position(Position::Seq(Seq::new(42))))),
        ("/seek?to=+10s", Command::Seek(SeekTo::Forward(seconds(10)))),
        ("/seek?to=%2B1m%2030s", Command::Seek(SeekTo::Forward(seconds(90)))),
        ("/seek?to=-250ms", Command::Seek(SeekTo::Back(Duration::from_millis(250)))),
    ] {
        assert_eq!(post(asked), Ok(Request::Do(command)), "{asked}");
    }
}

#[test]
fn what_is_not_understood_gets_a_sentence_that_says_what_would_be() {
    for (asked, says) in [
        ("/pause?n=1", "\"n\" is no parameter of this: it takes none"),
        ("/stop?now", "\"now\" is no parameter of this: it takes none"),
        ("/step?n=0", "n=0 is not a number of events: expected 1 or more"),
        ("/step?n=-1", "n=-1 is not a number of events: expected 1 or more"),
        ("/step?n=", "n= is not a number of events: expected 1 or more"),
        ("/step?x=2", "\"x\" is no parameter of this: it takes only \"n\""),
        ("/step?n=1&n=2", "\"n\" is given twice"),
        ("/speed", "which speed? expected x=2, x=0.5 or x=max"),
        ("/speed?x=", "\"\" is not a speed: expected a factor above 0"),
        ("/speed?x=0", "\"0\" is not a speed: expected a factor above 0"),
        ("/speed?x=NaN", "\"NaN\" is not a speed: expected a factor above 0"),
        ("/speed?x=fast", "\"fast\" is not a speed: expected a factor above 0"),
        // What a shell or a program leaves of to=#42.
        ("/seek?to=", "where to? expected a time"),
        ("/seek", "where to? expected a time"),
        ("/seek?to=noon", "to=noon is no place: expected a time"),
        ("/seek?to=+soon", "to=+soon is no place: expected a time"),
        ("/seek?to=+0s", "to=+0s is no place: expected a time"),
        ("/seek?to=42", "to=42 is no place: expected a time"),
        ("/seek?to=%+1", "\"%+1\" is not percent-encoded"),
        ("/seek?to=%2", "\"%2\" is not percent-encoded"),
        ("/seek?to=%ff", "\"%ff\" is not percent-encoded"),
        ("/seek?to=%é", "\"%é\" is not percent-encoded"),
    ] {
        let refusal = post(asked).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{asked}");
        assert!(refusal.sentence.starts_with(says), "{asked}: {}", refusal.sentence);
    }
}

#[test]
fn nothing_is_done_by_another_method_nor_at_another_path() {
    for path in ["/pause", "/resume", "/step", "/speed", "/seek", "/stop"] {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
            let refusal = read(&method, path, None).unwrap_err();
            assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(refusal.allow, Some("POST"));
        }
    }
    let refusal = post("/status").unwrap_err();
    assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refusal.allow, Some("GET, HEAD"));
    for path in ["/", "", "/pause/", "//pause", "/Pause", "/metrics"] {
        let refusal = post(path).unwrap_err();
        assert_eq!((refusal.status, refusal.allow), (StatusCode::NOT_FOUND, None), "{path}");
        assert!(refusal.sentence.contains("POST /pause"), "{}", refusal.sentence);
    }
}
