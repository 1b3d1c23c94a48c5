//! Vendors' revocation services about one simulated machine, on good days and bad.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use vouch_simulator::{Machine, Period, amd_crl};

/// How the services are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// They answer.
    Good,
    /// They limit rates.
    TooMany,
    /// They break down.
    Broken,
    /// They answer something else.
    Garbage,
    /// They answer after whoever asks has given up.
    Slow,
}

/// The services.
#[derive(Debug)]
pub struct Vendor {
    address: SocketAddr,
    state: Arc<Mutex<(Day, usize)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Vendor {
    /// Services that know a machine's certificates.
    pub async fn start(machine: &Machine, day: Day) -> Result<Self> {
        let period = Period {
            from: "20260101000000Z",
            until: "20991231000000Z",
        };
        let known = Arc::new((machine.ocsp(period), amd_crl(period)));
        let state = Arc::new(Mutex::new((day, 0)));
        let seen = Arc::clone(&state);
        let answer = move |uri: Uri, body: Bytes| {
            let day = {
                let mut state = seen.lock();
                state.1 += 1;
                state.0
            };
            let known = Arc::clone(&known);
            async move { serve(day, &known.0, &known.1, &uri, &body).await }
        };
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("a vendor's port")?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(answer);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("a vendor ended: {error}");
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Configuration of a daemon that asks these services, and soon gives up.
    pub fn config(&self) -> String {
        let base = format!("http://{}", self.address);
        let names = [
            "nvidia_rim",
            "nvidia_ocsp",
            "amd_kds",
            "intel_pcs",
            "intel_root",
        ];
        let addresses = names.map(|name| format!("{name} = {base:?}\n")).concat();
        format!(
            "[collateral]\ntimeout_ms = 300\npatience_ms = 300\n[collateral.addresses]\n{addresses}"
        )
    }

    /// From now on they do otherwise.
    pub fn set(&self, day: Day) {
        *self.state.lock() = (day, 0);
    }

    /// How often they were asked since.
    pub fn asked(&self) -> usize {
        self.state.lock().1
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(day: Day, ocsp: &[Vec<u8>], crl: &[u8], uri: &Uri, body: &[u8]) -> Response {
    match day {
        Day::TooMany => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Day::Broken => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Day::Garbage => return vec![0x30; 5000].into_response(),
        Day::Slow => tokio::time::sleep(Duration::from_secs(2)).await,
        Day::Good => {}
    }
    if uri.path() == "/vcek/v1/Genoa/crl" {
        return crl.to_vec().into_response();
    }
    // The id of the certificate that is asked about ends the request, and is in its answer.
    let id = body.windows(2).position(|pair| pair == [0x04, 0x30]);
    let id = id.and_then(|at| body.get(at..));
    let known = id.and_then(|id| {
        let mut all = ocsp.iter();
        all.find(|answer| answer.windows(id.len()).any(|part| part == id))
    });
    known.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |answer| answer.clone().into_response(),
    )
}
