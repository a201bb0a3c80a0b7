//! What is asked is done.

use super::*;

/// What a request comes to: the state, the events that have left, the place and the speed.
fn came(asked: &Asked, request: &str) -> (String, u64, u64, String) {
    let (status, now) = asked.ask(request);
    assert_eq!(status, 200, "{request}: {now}");
    let state = now["state"].as_str().unwrap().to_owned();
    let [events, at] = [&now["events"], &now["position"]["seq"]].map(|it| it.as_u64().unwrap());
    (state, events, at, now["speedAsked"].to_string())
}

fn is(state: &str, events: u64, at: u64, speed: &str) -> (String, u64, u64, String) {
    (state.to_owned(), events, at, speed.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_carried_out_before_it_is_answered() {
    let taped = hourly(6);
    let asked = Asked::start(&taped).await;
    asked.replay.until_shown("begun", |screen| screen.contains(" 1 event,")).await;
    assert_eq!(came(&asked, "GET /status"), is("playing", 1, 1, "1.0"));
    assert_eq!(came(&asked, "POST /pause"), is("paused", 1, 1, "1.0"));
    assert_eq!(came(&asked, "POST /step"), is("paused", 2, 2, "1.0"));
    assert_eq!(came(&asked, "POST /step?n=2"), is("paused", 4, 4, "1.0"));
    assert_eq!(came(&asked, "POST /speed?x=0.5"), is("paused", 4, 4, "0.5"));
    assert_eq!(came(&asked, "POST /resume"), is("playing", 4, 4, "0.5"));
    // While it plays, it stands still behind the step.
    assert_eq!(came(&asked, "POST /step"), is("paused", 5, 5, "0.5"));
    assert_eq!(came(&asked, "POST /speed?x=max"), is("paused", 5, 5, "\"max\""));
    // It may be over before that is told.
    let _ = ask(&asked.address, "POST /resume", "");
    let told = asked.end().expect_code(0).json();
    assert_eq!((&told["ended"], &told["delivered"]), (&"end".into(), &6.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_asked_for_is_gone_to() {
    let taped = hourly(6);
    let asked = Asked::start(&taped).await;
    asked.replay.until_shown("begun", |screen| screen.contains(" 1 event,")).await;
    assert_eq!(came(&asked, "POST /pause"), is("paused", 1, 1, "1.0"));
    assert_eq!(came(&asked, "POST /seek?to=%234"), is("paused", 1, 4, "1.0"));
    assert_eq!(came(&asked, "POST /step"), is("paused", 2, 5, "1.0"));
    assert_eq!(came(&asked, "POST /seek?to=2026-03-01T13:30:00Z"), is("paused", 2, 2, "1.0"));
    assert_eq!(came(&asked, "POST /step"), is("paused", 3, 3, "1.0"));
    assert_eq!(came(&asked, "POST /seek?to=-5h"), is("paused", 3, 0, "1.0"));
    assert_eq!(came(&asked, "POST /speed?x=max"), is("paused", 3, 0, "\"max\""));
    let _ = ask(&asked.address, "POST /resume", "");
    let told = asked.end().expect_code(0).json();
    assert_eq!((&told["ended"], &told["delivered"]), (&"end".into(), &9.into()), "{told}");
}

/// The cluster's clock says only the second; all of these are in one.
#[tokio::test(flavor = "multi_thread")]
async fn forward_is_never_back_by_a_clock_of_seconds() {
    let taped = Taped::of(&[0, 400, 800].map(|millis| {
        let mut event = Document::try_from(at_hour(0).as_ref()).unwrap();
        event.insert("wallTime", DateTime::from_millis(1_772_366_400_000 + millis));
        RawDocumentBuf::try_from(&event).unwrap()
    }));
    let slowly = ["--timeline", "cluster", "--speed", "0.0001x"];
    let args = ["replay", text(&taped.tape), "null:", "--control", "0", "--format", "json"];
    let asked = Asked::of(changetape(&[&args[..], &slowly].concat())).await;
    asked.replay.until_shown("begun", |screen| screen.contains(" 1 event,")).await;
    assert_eq!(came(&asked, "POST /step"), is("paused", 2, 2, "0.0001"));
    assert_eq!(came(&asked, "POST /seek?to=+300ms"), is("paused", 2, 2, "0.0001"));
    assert_eq!(came(&asked, "POST /seek?to=-300ms"), is("paused", 2, 0, "0.0001"));
    assert_eq!(came(&asked, "POST /stop").0, "paused");
    asked.end().expect_code(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_ask_for_the_same() {
    let taped = hourly(6);
    let args = ["replay", text(&taped.tape), "null:", "--format", "json"];
    let mut playing = AtTerminal::start(changetape(&args));
    let shown = |words: &'static str| move |screen: &str| screen.contains(words);
    playing.until_shown("begun", shown(" 1 event,")).await;
    playing.type_keys(" ");
    playing.until_shown("paused", shown("paused, 2026-03-01T12:00:00Z, ")).await;
    playing.type_keys("..");
    playing.until_shown("stepped", shown("paused, 2026-03-01T14:00:00Z, ")).await;
    playing.type_keys("++- ");
    playing.until_shown("twice as fast", shown(" 2x, 2026-03-01T14:00:00Z, ")).await;
    playing.type_keys(".");
    playing.until_shown("stepped", shown("paused, 2026-03-01T15:00:00Z, ")).await;
    playing.type_keys("q");
    let told = playing.end().0.expect_code(130).json();
    assert_eq!(told["delivered"], 4, "{told}");
}
