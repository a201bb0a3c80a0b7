//! What this process has taken so far; on Linux.

use std::fs;

use crate::Error;

/// CPU time, in seconds.
///
/// # Errors
/// If the system does not say.
pub fn cpu_seconds() -> Result<f64, Error> {
    let usage = fs::read_to_string("/proc/self/stat")?;
    let fields = usage.rsplit(')').next().unwrap_or_default().split_whitespace();
    // What Linux counts in; `getconf CLK_TCK` says the same everywhere.
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / 100.0)
}

/// The most memory that was resident at a time, in MiB.
///
/// # Errors
/// If the system does not say.
pub fn peak_mib() -> Result<f64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
