//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// A token that the first Ctrl-C or SIGTERM cancels, if nobody else has. The next ends the process there
/// and then, which loses nothing: what was acknowledged is durable.
///
/// # Errors
/// What the operating system says if signals cannot be received.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (told, asked) = (stop.clone(), stop.clone());
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if told.is_cancelled() {
                Exit::Interrupted.at_once();
            }
            told.cancel();
        }
    });
    tokio::spawn(async move {
        asked.cancelled().await;
        // By itself: a message waits while a question stands on the terminal, and the end of that
        // may be up to a task of this very thread.
        tokio::task::spawn_blocking(|| tracing::info!("stopping; Ctrl-C to stop at once"));
    });
    Ok(stop)
}
