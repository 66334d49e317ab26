//! Looks now and then whether collections have changed on disk.

use std::sync::Arc;
use std::time::Duration;

use crate::state::App;

/// Looks until it is dropped. What it finds out, good or bad, the collections log themselves.
pub(crate) async fn watch(app: Arc<App>) {
    if app.config.reload_ms == 0 {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(app.config.reload_ms));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(services) = app.services() else { continue };
        for served in &services.collections {
            let live = served.live.clone();
            // A panic is reported when it happens, and the next tick tries again.
            let _ = tokio::task::spawn_blocking(move || live.refresh()).await;
        }
    }
}
