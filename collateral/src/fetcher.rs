//! From a question to its answer: the cache, else the service, each question asked once at a time.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use vouch_evidence::Time;
use vouch_protocol::Reason;

use crate::answer::{self, Content};
use crate::cache::Cache;
use crate::config::{Config, ConfigError};
use crate::error::{Cause, Error};
use crate::http::Http;
use crate::request::Request;

/// A piece of collateral. Nobody has verified it yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What was asked for, as its [`Request`] describes it.
    pub bytes: Vec<u8>,
    /// The certificates of the signer, DER, where the service sends them apart.
    pub chain: Vec<Vec<u8>>,
    /// The last second at which it says that it counts.
    pub until: Time,
    /// It was at hand; no service was asked.
    pub cached: bool,
}

type Flight = Shared<BoxFuture<'static, Result<Arc<Document>, Error>>>;
type Flights = Mutex<HashMap<String, Flight>>;

/// Gets collateral. Clones share everything.
#[derive(Clone, Debug)]
pub struct Fetcher {
    inner: Arc<Inner>,
    /// Questions that are being answered. Whoever asks the same waits for the same answer.
    flights: Arc<Flights>,
}

#[derive(Debug)]
struct Inner {
    cache: Cache,
    http: Http,
    offline: bool,
}

/// Ends a flight, also where its task dies.
struct Landing(Arc<Flights>, String);

impl Drop for Landing {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Fetcher {
    /// A fetcher; its cache directory is made where it is not there.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let cache = Cache::open(config.cache_dir.clone()).map_err(|source| ConfigError::Cache {
            path: config.cache_dir.clone(),
            source,
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                cache,
                http: Http::new(config)?,
                offline: config.offline,
            }),
            flights: Arc::default(),
        })
    }

    /// What answers `request` and counts at `at`: from the cache, else from its service.
    ///
    /// # Errors
    /// [`Error`], which says what is missing and where it would come from. It is never a verdict.
    pub async fn get(&self, request: &Request, at: Time) -> Result<Arc<Document>, Error> {
        let error = |cause| self.inner.error(request, cause);
        let ask = match request.ask() {
            Ok(ask) => ask,
            Err(rejection) => {
                let detail = rejection.to_string();
                return Err(error(Cause::Garbage { detail }));
            }
        };
        let name = ask.key();
        loop {
            let (flight, own) = {
                let mut flights = self.flights.lock();
                match flights.get(&name) {
                    Some(flight) => (flight.clone(), false),
                    None => {
                        let flight = self.take_off(request.clone(), at, name.clone());
                        flights.insert(name.clone(), flight.clone());
                        (flight, true)
                    }
                }
            };
            let answer = flight.await;
            // Somebody else's answer may not count at this caller's time, or the other way round.
            let fits = match &answer {
                Ok(document) => at <= document.until || !request.says_until(),
                Err(error) => !matches!(
                    error.cause,
                    Cause::Expired { .. } | Cause::OfflineExpired { .. }
                ),
            };
            if own || fits {
                return answer;
            }
        }
    }

    /// Answers a question in a task of its own: callers come and go.
    fn take_off(&self, request: Request, at: Time, name: String) -> Flight {
        let (inner, flights) = (Arc::clone(&self.inner), Arc::clone(&self.flights));
        let asked = request.clone();
        let task = tokio::spawn(async move {
            let _landing = Landing(flights, name);
            inner.get(&request, at).await
        });
        let inner = Arc::clone(&self.inner);
        async move {
            match task.await {
                Ok(answer) => answer,
                Err(_) => Err(inner.error(&asked, Cause::Interrupted)),
            }
        }
        .boxed()
        .shared()
    }

    /// Where a request would go, for people.
    pub fn address(&self, request: &Request) -> String {
        self.inner.address(request)
    }
}

impl Inner {
    async fn get(self: &Arc<Self>, request: &Request, at: Time) -> Result<Arc<Document>, Error> {
        let error = |cause| self.error(request, cause);
        let garbage = |rejection: vouch_evidence::Rejection| {
            let detail = rejection.to_string();
            error(Cause::Garbage { detail })
        };
        let ask = request.ask().map_err(garbage)?;
        let key = ask.key();
        let kept = self.kept(request, &key).await;
        let old = match kept {
            Some(content) if at <= content.until => return Ok(document(content, true)),
            // How long to keep what does not say itself until when it counts is only advice.
            Some(content) if self.offline && !request.says_until() => {
                return Ok(document(content, true));
            }
            other => other.map(|content| content.until),
        };
        if self.offline {
            return Err(error(match old {
                Some(until) => Cause::OfflineExpired { until },
                None => Cause::Offline,
            }));
        }
        let answer = self.http.get(&ask, request.limit()).await.map_err(error)?;
        let content = answer::read(request, &answer, now()).map_err(garbage)?;
        if content.until < at && request.says_until() {
            let until = content.until;
            return Err(error(Cause::Expired { until }));
        }
        self.keep(request, &key, &content).await;
        tracing::info!(what = %request, until = %content.until, "collateral: fetched");
        Ok(document(content, false))
    }

    async fn kept(self: &Arc<Self>, request: &Request, key: &str) -> Option<Content> {
        let (inner, request, key) = (Arc::clone(self), request.clone(), key.to_owned());
        tokio::task::spawn_blocking(move || inner.cache.read(&request, &key))
            .await
            .ok()?
    }

    /// A disk that fails costs the next caller a question, and nobody the answer.
    async fn keep(self: &Arc<Self>, request: &Request, key: &str, content: &Content) {
        let (inner, asked) = (Arc::clone(self), request.clone());
        let (key, content) = (key.to_owned(), content.clone());
        let written =
            tokio::task::spawn_blocking(move || inner.cache.write(&asked, &key, &content)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(what = %request, %error, "collateral: not kept");
        }
    }

    fn address(&self, request: &Request) -> String {
        let url = request.ask().ok().and_then(|ask| self.http.url(&ask));
        url.map_or_else(
            || format!("{} has no address", request.service().key()),
            String::from,
        )
    }

    fn error(&self, request: &Request, cause: Cause) -> Error {
        Error {
            what: request.to_string(),
            address: self.address(request),
            reason: match cause {
                Cause::Expired { .. } | Cause::OfflineExpired { .. } => Reason::CollateralExpired,
                _ => request.missing(),
            },
            cause,
        }
    }
}

fn document(content: Content, cached: bool) -> Arc<Document> {
    Arc::new(Document {
        bytes: content.bytes,
        chain: content.chain,
        until: content.until,
        cached,
    })
}

/// The system's time: HTTP's instructions count from it.
fn now() -> Time {
    let seconds = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
    Time::from_unix(seconds)
}
