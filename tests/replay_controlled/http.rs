//! Requests over HTTP.

use super::*;
use crate::at_terminal::Mode;
use crate::program::run;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_tells_how_far_it_is_and_is_stopped() {
    let taped = hourly(3);
    let asked = Asked::start(&taped).await;
    asked.replay.until_shown("begun", |screen| screen.contains("1 event")).await;
    let (status, now) = asked.ask("GET /status");
    assert_eq!((status, &now["state"], &now["events"]), (200, &"playing".into(), &1.into()));
    assert_eq!((&now["position"]["seq"], &now["range"]["endSeq"]), (&1.into(), &3.into()), "{now}");
    assert_eq!(now["position"]["time"], "2026-03-01T12:00:00Z", "{now}");
    assert_eq!(now["range"]["lastTime"], "2026-03-01T14:00:00Z", "{now}");

    assert_eq!(asked.ask_with("POST /stop", "Origin: http://evil.example\r\n").0, 403);
    assert_eq!(asked.ask("GET /stop").0, 405);
    assert_eq!(asked.ask("POST /start").0, 404);
    let (status, why) = asked.ask("POST /seek?to=noon");
    assert_eq!(status, 400);
    assert!(why["error"].as_str().unwrap().starts_with("to=noon is no place: "), "{why}");
    assert_eq!(asked.ask("POST /stop").0, 200);
    let told = asked.end().expect_code(130).json();
    assert_eq!(told["ended"], "stopped", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_quiet_is_not_asked_for_keys() {
    let taped = hourly(3);
    // Messages are wanted, or nobody would know the port.
    let mut quiet =
        changetape(&["replay", text(&taped.tape), "null:", "--control", "0", "--quiet"]);
    quiet.env("RUST_LOG", "changetape=info");
    let asked = Asked::of(quiet).await;
    // Where one can be asked, the other could.
    assert_eq!(asked.ask("GET /status").0, 200);
    assert_eq!(asked.replay.mode(), Mode::Lines);
    assert_eq!(asked.ask("POST /stop").0, 200);
    let ran = asked.end().expect_code(130);
    assert!(!ran.stderr.contains("shows the other keys"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_served_or_guarded_is_refused_before_anything_is_played() {
    let taped = hourly(1);
    let file = taped.tape.with_extension("json");
    let sink = format!("file:{}", text(&file));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let short = taped.tape.with_extension("token");
    std::fs::write(&short, "secret\n").unwrap();
    let needs = "--control 0.0.0.0:0 is not on loopback: others could ask, so it needs a token";
    let short_token = format!("--control-token-file {}: a token has at least 16", text(&short));
    for (more, code, says) in [
        (&["--control", "0.0.0.0:0"][..], 2, needs),
        (&["--control", "0", "--control-token-file", text(&short)], 2, &short_token),
        (&["--control", "0", "--dry-run"], 2, "--dry-run plays nothing that --control"),
        (&["--control", &taken], 1, "cannot serve control at "),
    ] {
        let ran = run(&taped.replay(&sink, more)).expect_code(code);
        assert!(ran.sentence().starts_with(says), "{more:?}: {}", ran.sentence());
        assert!(!file.exists(), "{more:?}");
    }
}
