//! The interface `log`: what the plugin has to say.

use crate::contract::xapiary::plugin::log::{Host, Level as Given};
use crate::report::{Level, LogLine, Source};
use crate::sandbox::Sandbox;

impl Host for Sandbox {
    async fn write(
        &mut self,
        level: Given,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.enter("log.write")?;
        let level = match level {
            Given::Trace => Level::Trace,
            Given::Debug => Level::Debug,
            Given::Info => Level::Info,
            Given::Warn => Level::Warn,
            Given::Error => Level::Error,
        };
        self.log().plugin(LogLine { source: Source::Plugin, level, message, fields });
        Ok(())
    }
}
