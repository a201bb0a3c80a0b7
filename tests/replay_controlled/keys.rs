//! Keys, and the mode of the terminal that they come from.

use super::*;
use crate::at_terminal::Mode;
use crate::program::without_ours;

/// A replay at a terminal, taking keys.
async fn playing(taped: &Taped, more: &[&str]) -> AtTerminal {
    let args = ["replay", text(&taped.tape), "null:", "--format", "json"];
    let playing = AtTerminal::start(changetape(&[&args, more].concat()));
    playing.until_mode(Mode::Keys).await;
    playing
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_and_one_ends_the_replay_as_an_interruption_does() {
    let taped = hourly(3);
    let mut playing = playing(&taped, &[]).await;
    playing.until_shown("told", |screen| screen.contains("? shows the other keys")).await;
    playing.until_shown("begun", |screen| screen.contains("1 event")).await;
    playing.type_keys("?");
    playing.until_shown("helped", |screen| screen.contains("q      end, as after Ctrl-C")).await;
    playing.type_keys("xq");
    let (ran, mode) = playing.end();
    assert_eq!(mode, Mode::Lines);
    let told = ran.expect_code(130).json();
    assert_eq!((&told["ended"], &told["delivered"]), (&"stopped".into(), &1.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_as_it_was_whatever_ends_the_replay() {
    let taped = hourly(3);
    for (signal, code) in [("-INT", 130), ("-TERM", 130), ("-HUP", 129), ("-QUIT", 131)] {
        let playing = playing(&taped, &[]).await;
        playing.signal(signal);
        let (ran, mode) = playing.end();
        ran.expect_code(code);
        assert_eq!(mode, Mode::Lines, "{signal}");
    }
    let at_once = changetape(&taped.replay("null:", &["--start", "#0"]));
    let (ran, mode) = AtTerminal::start(at_once).end();
    ran.expect_code(0);
    assert_eq!(mode, Mode::Lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_suspends_it_has_its_mode_back_and_it_takes_keys_again_afterwards() {
    let taped = hourly(3);
    // One of its own session, whose terminal this is: what it starts are jobs. It edits no lines,
    // which would need a mode of its own.
    let mut shell = Command::new("setsid");
    shell.args(["--ctty", "--wait", "bash", "--norc", "--noediting", "-i"]);
    without_ours(&mut shell);
    shell.env("PS1", "shell$ ");
    let program = changetape(&[]).get_program().to_str().unwrap().to_owned();
    let replay = format!("{program} replay {} null: >/dev/null\n", text(&taped.tape));
    let mut shell = AtTerminal::start(shell);
    let prompts = |n: usize| move |screen: &str| screen.matches("shell$ ").count() >= n;
    shell.until_shown("at a prompt", prompts(1)).await;
    shell.type_keys(&replay);
    shell.until_mode(Mode::Keys).await;

    shell.type_keys("\x1a");
    shell.until_shown("suspended", prompts(2)).await;
    assert_eq!(shell.mode(), Mode::Lines);

    shell.type_keys("fg\n");
    shell.until_mode(Mode::Keys).await;
    shell.type_keys("\x1a");
    shell.until_shown("suspended again", prompts(3)).await;
    // In the background it leaves the terminal alone, or it would be suspended again.
    shell.type_keys("bg\n");
    shell.until_shown("at a prompt", prompts(4)).await;
    assert_eq!(shell.mode(), Mode::Lines);
    shell.type_keys("fg\n");
    shell.until_mode(Mode::Keys).await;
    shell.type_keys("\x1a");
    shell.until_shown("suspended once more", prompts(5)).await;
    // What stands still does not end.
    shell.type_keys("bg; kill -TERM %1; wait %1; echo background $? >&2\n");
    shell.until_shown("ended", |screen| screen.contains("background 130")).await;
    shell.until_shown("at a prompt", prompts(6)).await;

    // Ctrl-C is still one.
    shell.type_keys(&replay);
    shell.until_mode(Mode::Keys).await;
    shell.type_keys("\x03");
    shell.until_shown("ended", prompts(7)).await;
    assert_eq!(shell.mode(), Mode::Lines);
    shell.type_keys("echo foreground $? >&2; exit\n");
    let (ran, _) = shell.end();
    assert!(ran.stderr.contains("foreground 130"), "{}", ran.stderr);
}
