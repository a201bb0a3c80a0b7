//! Requests as they come, and what they are answered; the replay is only pretended.

use std::net::SocketAddr;
use std::sync::Mutex;

use changetape_core::Namespace;
use changetape_replayer::{BaseProgress, NotDone};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::replay::control::pretended;
use crate::replay::watch::in_the_middle;

/// The status and the JSON of an answer, and the head.
async fn ask(address: SocketAddr, line: &str, headers: &str) -> (u16, Value, String) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap(), head.to_lowercase())
}

#[tokio::test]
async fn a_request_is_answered_once_it_is_carried_out() {
    let done = Arc::new(Mutex::new(Vec::new()));
    let controls = pretended({
        let done = Arc::clone(&done);
        move |command| match command {
            Command::Step(_) => None,
            Command::Seek(_) => Some(Err(NotDone("nobody can go there".to_owned()))),
            command => {
                done.lock().unwrap().push(command);
                Some(Ok(()))
            }
        }
    });
    let listening = listen("127.0.0.1:0", None).await.unwrap();
    let address = listening.bound.address();
    let serving = listening.serve(controls.clone());

    let (status, now, head) = ask(address, "GET /status", "").await;
    assert_eq!((status, &now["state"]), (200, &"playing".into()), "{now}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let (status, now, _) = ask(address, "POST /pause", "").await;
    assert_eq!((status, &now["state"]), (200, &"playing".into()), "{now}");
    assert_eq!(ask(address, "POST /speed?x=2", "Content-Length: 0\r\n").await.0, 200);
    assert_eq!(*done.lock().unwrap(), [Command::Pause, Command::Speed(Speed::Factor(2.0))]);

    let (status, why, _) = ask(address, "POST /seek?to=+10s", "").await;
    assert_eq!((status, why), (409, json!({ "error": "nobody can go there" })));
    let (status, now, _) = ask(address, "POST /step", "").await;
    assert_eq!((status, &now["state"]), (202, &"playing".into()), "not done yet: {now}");
    let (status, why, _) = ask(address, "POST /speed?x=0", "").await;
    assert_eq!(status, 400);
    assert!(why["error"].as_str().unwrap().starts_with("\"0\" is not a speed"), "{why}");
    let (status, _, head) = ask(address, "GET /pause", "").await;
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    assert_eq!(ask(address, "GET /", "").await.0, 404);
    assert_eq!(ask(address, "POST /pause", "Origin: null\r\n").await.0, 403);
    assert_eq!(done.lock().unwrap().len(), 2, "what is refused is not done");

    assert!(!controls.stop.is_cancelled());
    assert_eq!(ask(address, "POST /stop", "").await.0, 200);
    assert!(controls.stop.is_cancelled());
    serving.close().await;
}

#[tokio::test]
async fn beyond_loopback_there_has_to_be_a_token_and_whoever_has_it_may_ask() {
    let refused = listen("0.0.0.0:0", None).await.unwrap_err();
    assert!(refused.is::<Usage>(), "{refused}");
    let says = "--control 0.0.0.0:0 is not on loopback: others could ask, so it needs a token";
    assert!(refused.to_string().starts_with(says), "{refused}");

    let file = std::env::temp_dir().join(format!("changetape-control-{}", std::process::id()));
    std::fs::write(&file, "correct-horse-battery\n").unwrap();
    let listening = listen("0.0.0.0:0", Some(&file)).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], listening.bound.address().port()));
    let controls = pretended(|_| Some(Ok(())));
    listening.serve(controls.clone());
    let (status, why, head) = ask(address, "POST /stop", "").await;
    assert!(status == 401 && head.contains("www-authenticate: bearer"), "{head}");
    assert!(why["error"].as_str().unwrap().contains("--control-token-file"), "{why}");
    assert_eq!(ask(address, "GET /status", "").await.0, 401);
    assert!(!controls.stop.is_cancelled());
    let token = "Authorization: Bearer correct-horse-battery\r\n";
    assert_eq!(ask(address, "POST /stop", token).await.0, 200);
    assert!(controls.stop.is_cancelled());
}

#[test]
fn the_status_has_every_figure_of_the_line_and_says_what_is_not_known() {
    let now = in_the_middle();
    assert_eq!(
        status_of(&now),
        json!({
            "state": "playing",
            "position": { "seq": 764, "time": "2026-03-01T12:00:25Z" },
            "range": {
                "startSeq": 100,
                "endSeq": 1_100,
                "firstTime": "2026-03-01T12:00:00Z",
                "lastTime": "2026-03-01T12:01:40Z",
            },
            "speedAsked": 10.0,
            "speedReached": 6.2,
            "lateMicros": 10.0,
            "lagMicros": 2_390.0,
            "events": 664,
            "bytes": 70_000,
            "eventsPerSecond": 66.4,
            "toGoSeconds": 6.5,
            "base": null,
        })
    );
    let paused = status_of(&Now { is_paused: true, passing: None, to_go: None, ..now.clone() });
    assert_eq!(paused["state"], "paused");
    assert_eq!((&paused["speedReached"], &paused["toGoSeconds"]), (&0.0.into(), &Value::Null));
    let begun = Now { time: None, passing: None, speed: Speed::Max, ..now.clone() };
    let begun = status_of(&begun);
    assert_eq!((&begun["speedAsked"], &begun["speedReached"]), (&"max".into(), &Value::Null));
    assert_eq!(begun["position"]["time"], Value::Null);
    let base = BaseProgress {
        documents: 7,
        of: 9,
        namespace: Namespace::collection("shop", "orders"),
        builds_indexes: false,
    };
    let restoring = status_of(&Now { base: Some(base), ..now });
    assert_eq!(restoring["state"], "restoring");
    assert_eq!(restoring["base"]["namespace"], "shop.orders");
}
