//! Our own client as a process of its own, polling as the others do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use xapi::codec::Limits;
use xapi::transport::{Address, Endpoint, Trust};
use xapi::{Client, Settings, Wire};

/// Polls the server and prints how many events came and the CPU time that this process took for it.
#[derive(clap::Args)]
pub(crate) struct Polling {
    /// The wire to speak: xml or json
    wire: String,
    /// Where the server is
    url: String,
    /// Polls that do not count
    warming: u32,
    /// Polls that count
    polls: u32,
}

impl Polling {
    /// Does it.
    pub(crate) fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the runtime")?;
        runtime.block_on(self.poll())
    }

    async fn poll(&self) -> Result<()> {
        let client = Client::new(self.settings()?).context("setting the client up")?;
        let lease = client.lease().await.context("logging in")?;
        let poll = async || -> Result<usize> {
            let (batch, _) =
                client.poll(&lease, &["*".into()], "", Duration::ZERO).await.context("polling")?;
            Ok(batch.events.len())
        };
        for _ in 0..self.warming {
            poll().await?;
        }
        let begun = cpu_time();
        let mut events = 0;
        for _ in 0..self.polls {
            events += poll().await?;
        }
        println!("{}", json!({ "events": events, "seconds": (cpu_time() - begun).as_secs_f64() }));
        Ok(())
    }

    fn settings(&self) -> Result<Settings> {
        let address: Address = self.url.parse().context("reading the server's address")?;
        Ok(Settings {
            endpoint: Endpoint::new(address, Trust::None).context("reading the server's address")?,
            user: "root".into(),
            password: Arc::new(secrecy::SecretString::from("bench")),
            members: Vec::new(),
            originator: "bench".into(),
            user_agent: "bench".into(),
            call_timeout: Duration::from_secs(60),
            limits: Limits::default(),
            pool_uuid: None,
            wire: if self.wire == "json" { Wire::Json } else { Wire::Xml },
        })
    }
}

/// Of this process, user and system.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
