//! The log: lines on standard error, for people or for programs.

use tracing::level_filters::LevelFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::error::ServeError;

/// Sends what this process logs to standard error.
///
/// # Errors
/// [`ServeError::System`] when the process has a log already.
pub fn start_log(config: &LogConfig) -> Result<(), ServeError> {
    let level = match config.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Whoever reads the log may go away; to report that where it can't be written would be a panic.
    let to_stderr = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .log_internal_errors(false);
    let started = match config.format {
        LogFormat::Text => to_stderr.with_ansi(coloured()).with_target(false).try_init(),
        LogFormat::Json => to_stderr.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(ServeError::system("start the log"))
}

/// Colours are for terminals whose user did not refuse them.
fn coloured() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
