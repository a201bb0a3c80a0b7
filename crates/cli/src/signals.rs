//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// A token that the first Ctrl-C or SIGTERM cancels. The second ends the process there and
/// then, which loses nothing: what was acknowledged is durable.
///
/// # Errors
/// What the operating system says if signals cannot be received.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let told = stop.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        for round in 0_u8.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if round > 0 {
                std::process::exit(Exit::Interrupted as i32);
            }
            // First, so that nothing that happens to the message is in the way.
            told.cancel();
            // By itself: a message waits while a question stands on the terminal, and the end of that
            // may be up to a task of this very thread.
            tokio::task::spawn_blocking(|| tracing::info!("stopping; once more to stop at once"));
        }
    });
    Ok(stop)
}
