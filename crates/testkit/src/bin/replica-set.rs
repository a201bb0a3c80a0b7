//! Starts a replica set to try things on, prints its URI, and runs until standard input
//! ends or Ctrl-C; then nothing of it is left.
//!
//! ```text
//! cargo run -p changetape-testkit --bin replica-set [-- three]
//! ```

use std::error::Error;
use std::process::ExitCode;

use changetape_testkit::ReplicaSet;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let builder = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ReplicaSet::single(),
        ["three"] => ReplicaSet::three_with_auth(),
        _ => return Err("usage: replica-set [three]".into()),
    };
    let set = builder.start().await?;
    println!("{}", set.uri());
    // On a thread of its own: reading cannot be interrupted, and Ctrl-C must end this.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    tokio::select! {
        _ = end => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
