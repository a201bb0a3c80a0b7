//! Readers for values; each refusal says which forms are accepted.

use std::time::Duration;

use bson::Bson;
use bson::raw::RawDocumentBuf;
use changetape_core::OperationType;

/// Whether a switch is on, by its variable: an empty one is one that is not set, as compose
/// files leave it.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
        "1" | "t" | "true" | "y" | "yes" | "on" => Ok(true),
        _ => Err("expected true or false".to_owned()),
    }
}

/// `500ms`, `2s`, `10m`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("a duration must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("expected a duration such as 500ms, 2s, 10m or 1h".to_owned()),
    }
}

/// A time that a server is asked to wait: whole milliseconds, as it takes them.
pub(crate) fn await_time(text: &str) -> Result<Duration, String> {
    const LIMITS: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(600);
    let time = duration(text)?;
    if LIMITS.contains(&time) { Ok(time) } else { Err("expected from 1ms to 10m".to_owned()) }
}

/// How long to measure: every sample is kept until the end.
pub(crate) fn measuring_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time <= Duration::from_secs(600) { Ok(time) } else { Err("expected at most 10m".to_owned()) }
}

/// Where to listen: a port on loopback, or `host:port`.
pub(crate) fn listen_address(text: &str) -> Result<String, String> {
    let port = |text: &str| text.parse::<u16>().is_ok();
    match text.rsplit_once(':') {
        None if port(text) => Ok(format!("127.0.0.1:{text}")),
        Some((host, after)) if !host.is_empty() && port(after) => Ok(text.to_owned()),
        _ => Err("expected a port (9400), which is opened on loopback, or HOST:PORT".to_owned()),
    }
}

/// An operation type that this version knows, by MongoDB's name.
pub(crate) fn operation(text: &str) -> Result<OperationType, String> {
    match OperationType::from(text) {
        OperationType::Other(_) => {
            let known: Vec<&str> = OperationType::KNOWN.iter().map(OperationType::as_str).collect();
            Err(format!("not an operation type; known are {}", known.join(", ")))
        }
        known => Ok(known),
    }
}

/// Aggregation stages as a JSON array (Extended JSON), or one stage as an object.
pub(crate) fn pipeline(text: &str) -> Result<Pipeline, String> {
    const EXPECTED: &str =
        "expected aggregation stages as JSON, such as [{\"$match\": {\"ns.db\": \"shop\"}}]";
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let stages = match Bson::try_from(json).map_err(|error| format!("{EXPECTED}: {error}"))? {
        Bson::Array(stages) => stages,
        stage @ Bson::Document(_) => vec![stage],
        _ => return Err(EXPECTED.to_owned()),
    };
    let stages: Option<Result<Vec<_>, _>> = stages
        .into_iter()
        .map(|stage| stage.as_document().map(|stage| RawDocumentBuf::try_from(stage.clone())))
        .collect();
    match stages {
        Some(Ok(stages)) => Ok(Pipeline(stages)),
        Some(Err(error)) => Err(format!("{EXPECTED}: {error}")),
        None => Err(EXPECTED.to_owned()),
    }
}

/// A user's own stages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline(pub(crate) Vec<RawDocumentBuf>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_accepted_forms() {
        assert!(duration("0s").is_err());
        assert!(duration("soon").unwrap_err().contains("500ms"));
        assert!(operation("upsert").unwrap_err().contains("insert, update"));
        for bad in ["", "{", "1", "[1]", "\"x\""] {
            assert!(pipeline(bad).unwrap_err().contains("$match"), "{bad}");
        }
    }

    #[test]
    fn a_server_waits_whole_milliseconds_and_not_for_ever() {
        assert_eq!(await_time("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["1us", "11m", "soon", "0s"] {
            assert!(await_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn measuring_ends() {
        assert_eq!(measuring_time("10m"), Ok(Duration::from_secs(600)));
        assert!(measuring_time("601s").is_err() && measuring_time("0s").is_err());
    }

    #[test]
    fn a_port_alone_is_opened_on_loopback_only() {
        for (text, expected) in [
            ("9400", "127.0.0.1:9400"),
            ("0.0.0.0:9400", "0.0.0.0:9400"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:9400", "localhost:9400"),
        ] {
            assert_eq!(listen_address(text).as_deref(), Ok(expected));
        }
        // What ":9400" opens differs from program to program, so it is refused.
        for bad in ["", ":9400", "localhost", "localhost:", "localhost:70000", "http://a:1/"] {
            assert!(listen_address(bad).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn a_switch_whose_variable_is_empty_is_off() {
        for (text, on) in [("", false), ("0", false), ("No", false), ("1", true), ("TRUE", true)] {
            assert_eq!(switch(text), Ok(on), "{text:?}");
        }
        assert!(switch("maybe").unwrap_err().contains("true or false"));
    }

    #[test]
    fn a_pipeline_may_be_one_stage_and_keeps_types() {
        let Pipeline(stages) = pipeline(r#"{"$match": {"n": {"$numberLong": "1"}}}"#).unwrap();
        assert_eq!(stages, [bson::rawdoc! {"$match": {"n": 1_i64}}]);
    }
}
