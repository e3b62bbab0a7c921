//! One daemon for the tests that only look at containers: started by the first, stopped and looked after at the end.

use crate::env::TestEnv;
use anyhow::{Result, anyhow};
use std::sync::{Arc, Mutex};

static ENV: Mutex<Option<Result<Arc<TestEnv>, String>>> = Mutex::new(None);

/// The shared instance. A test there uses names of its own and removes what it made.
pub(crate) fn env() -> Result<Arc<TestEnv>> {
    let mut slot = ENV.lock().expect("shared instance");
    slot.get_or_insert_with(|| TestEnv::started().map(Arc::new).map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(|why| anyhow!("the shared instance does not start: {why}"))
}

/// Stops the shared instance: nothing may be left.
pub(crate) fn end() -> Result<()> {
    match ENV.lock().expect("shared instance").take() {
        Some(Ok(env)) => {
            Arc::into_inner(env).map_or_else(|| Err(anyhow!("a test still holds it")), |mut env| env.stop())
        }
        _ => Ok(()),
    }
}
