//! One question to a service: with limits, and as patiently as the service asks for.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use futures::StreamExt;
use jiff::fmt::rfc2822::DateTimeParser;
use parking_lot::Mutex;
use reqwest::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, DATE, EXPIRES, HeaderMap, RETRY_AFTER,
};
use reqwest::{StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::config::{self, Authorization, Config, ConfigError};
use crate::error::Cause;
use crate::request::{Ask, Service};

/// Headers in which Intel sends the certificates of a signer.
const CHAINS: [&str; 4] = [
    "TCB-Info-Issuer-Chain",
    "SGX-TCB-Info-Issuer-Chain",
    "SGX-Enclave-Identity-Issuer-Chain",
    "SGX-PCK-CRL-Issuer-Chain",
];
/// Longest chain header that is looked at.
const MAX_CHAIN_LEN: usize = 64 * 1024;

/// The services.
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    services: HashMap<Service, Endpoint>,
    authorization: Option<Authorization>,
    patience: Duration,
    first_wait: Duration,
    tries: u32,
}

#[derive(Debug)]
struct Endpoint {
    base: Url,
    open: Semaphore,
    /// Until when the service asked to be left alone.
    quiet_until: Mutex<Option<Instant>>,
}

/// What one try came to.
enum Tried {
    Answered(Answer),
    Failed(Cause),
    /// Try again, at the earliest after as long as the service said.
    Again {
        last: String,
        after: Option<Duration>,
    },
}

impl Http {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            // A mirror is named by its address; collateral is not looked for elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("vouch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ConfigError::Client(error.to_string()))?;
        let mut services = HashMap::new();
        for service in Service::ALL {
            if let Some(base) = config::base(&config.addresses, service)? {
                let endpoint = Endpoint {
                    base,
                    open: Semaphore::new(config.parallel.max(1)),
                    quiet_until: Mutex::new(None),
                };
                services.insert(service, endpoint);
            }
        }
        let authorization = config
            .nvidia_authorization
            .as_deref()
            .map(|path| config::authorization(path, &config.addresses))
            .transpose()?;
        Ok(Self {
            client,
            services,
            authorization,
            patience: config.patience,
            first_wait: config.first_wait,
            tries: config.tries.max(1),
        })
    }

    /// Where a question goes; `None` where its service is not to be asked.
    pub(crate) fn url(&self, ask: &Ask) -> Option<Url> {
        let base = &self.services.get(&ask.service)?.base;
        Url::parse(&format!("{base}{}", ask.path)).ok()
    }

    /// Asks until there is an answer, patience ends, or asking again is no use.
    pub(crate) async fn get(&self, ask: &Ask, limit: usize) -> Result<Answer, Cause> {
        let disabled = Cause::Disabled {
            service: ask.service,
        };
        let (Some(url), Some(endpoint)) = (self.url(ask), self.services.get(&ask.service)) else {
            return Err(disabled);
        };
        let _permit = endpoint.open.acquire().await.map_err(|_| disabled)?;
        let give_up = Instant::now() + self.patience;
        let mut tries = 0;
        loop {
            self.keep_quiet(endpoint, give_up).await?;
            tries += 1;
            let (last, after) = match self.try_once(ask, url.clone(), limit).await {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Failed(cause) => return Err(cause),
                Tried::Again { last, after } => (last, after),
            };
            tracing::debug!(
                service = ask.service.key(),
                path = ask.path,
                last,
                tries,
                "collateral: no answer"
            );
            if let Some(after) = after {
                // Everybody who asks this service waits, not only this question.
                let until = Instant::now() + after;
                let mut quiet = endpoint.quiet_until.lock();
                *quiet = (*quiet).max(Some(until));
            }
            let wait = after.unwrap_or_default().max(self.backoff(tries));
            let too_late = Instant::now() + wait > give_up;
            if let (true, Some(after)) = (too_late, after) {
                let seconds = after.as_secs();
                return Err(Cause::Busy { seconds });
            }
            if too_late || tries >= self.tries {
                return Err(Cause::Unreachable { tries, last });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits as long as the service asked for, or gives up at once where that is too long.
    async fn keep_quiet(&self, endpoint: &Endpoint, give_up: Instant) -> Result<(), Cause> {
        let until = *endpoint.quiet_until.lock();
        let Some(until) = until.filter(|until| *until > Instant::now()) else {
            return Ok(());
        };
        if until > give_up {
            let seconds = until.saturating_duration_since(Instant::now()).as_secs();
            return Err(Cause::Busy { seconds });
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    /// Grows with each try. The random half keeps operators from asking all at once.
    fn backoff(&self, tries: u32) -> Duration {
        let full = self.first_wait.saturating_mul(1 << (tries - 1).min(10));
        let random = RandomState::new().build_hasher().finish() % 1024;
        full / 2 + full.mul_f64(random as f64 / 2048.0)
    }

    async fn try_once(&self, ask: &Ask, url: Url, limit: usize) -> Tried {
        let mut request = match &ask.body {
            None => self.client.get(url),
            Some(body) => self
                .client
                .post(url)
                .header(CONTENT_TYPE, "application/ocsp-request")
                .body(body.clone()),
        };
        if let (true, Some(Authorization(secret))) =
            (ask.service.needs_licence(), &self.authorization)
        {
            request = request.header(AUTHORIZATION, secret.clone());
        }
        let again = |error: reqwest::Error| Tried::Again {
            last: say(&error.without_url()),
            after: None,
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return again(error),
        };
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Tried::Failed(Cause::NotFound),
            _ if status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::REQUEST_TIMEOUT
                || status.is_server_error() =>
            {
                return Tried::Again {
                    last: format!("status {}", status.as_u16()),
                    after: retry_after(response.headers()),
                };
            }
            _ => {
                let status = status.as_u16();
                return Tried::Failed(Cause::Refused { status });
            }
        }
        let mut answer = Answer {
            body: Vec::new(),
            chain: chain(response.headers()),
            fresh: fresh(response.headers()),
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Tried::Failed(Cause::TooLarge { limit });
        }
        let mut body = response.bytes_stream();
        while let Some(part) = body.next().await {
            match part {
                Ok(part) if answer.body.len() + part.len() > limit => {
                    return Tried::Failed(Cause::TooLarge { limit });
                }
                Ok(part) => answer.body.extend_from_slice(&part),
                Err(error) => return again(error),
            }
        }
        Tried::Answered(answer)
    }
}

/// An error with what caused it: the outermost alone says little.
fn say(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn chain(headers: &HeaderMap) -> Option<String> {
    let header = CHAINS.iter().find_map(|name| headers.get(*name))?;
    let text = header.to_str().ok()?;
    (text.len() <= MAX_CHAIN_LEN).then(|| text.to_owned())
}

/// Source: RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => until(headers, text),
    }
}

/// How long an answer is fresh. Source: RFC 9111, 4.2.1 and 5.2.2.
fn fresh(headers: &HeaderMap) -> Option<Duration> {
    let control = headers.get_all(CACHE_CONTROL).iter();
    let control: Vec<&str> = control.filter_map(|value| value.to_str().ok()).collect();
    let mut directives = control
        .iter()
        .flat_map(|text| text.split(','))
        .map(str::trim);
    if directives
        .clone()
        .any(|one| one.eq_ignore_ascii_case("no-store") || one.eq_ignore_ascii_case("no-cache"))
    {
        return Some(Duration::ZERO);
    }
    let age = directives.find_map(|one| {
        let (name, seconds) = one.split_once('=')?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| seconds.parse().ok())?
    });
    match age {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => until(headers, headers.get(EXPIRES)?.to_str().ok()?),
    }
}

/// From the server's own date to another date of its clock; nothing where that is in the past.
fn until(headers: &HeaderMap, text: &str) -> Option<Duration> {
    let parse = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let end = parse(text)?;
    let start = match headers.get(DATE).and_then(|date| date.to_str().ok()) {
        Some(date) => parse(date)?,
        None => jiff::Timestamp::now(),
    };
    let seconds = u64::try_from(end.as_second() - start.as_second()).unwrap_or(0);
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn freshness_is_read_as_http_defines_it() {
        const DAY: &str = "Mon, 23 Nov 2026 00:00:00 GMT";
        const LATER: &str = "Mon, 23 Nov 2026 00:01:30 GMT";
        for (list, seconds) in [
            (&[][..], None),
            (&[("cache-control", "max-age=60")], Some(60)),
            (&[("cache-control", "public, Max-Age=5")], Some(5)),
            (&[("cache-control", "no-store, max-age=5")], Some(0)),
            (&[("cache-control", "private")], None),
            (&[("cache-control", "max-age=soon")], None),
            (&[("date", DAY), ("expires", LATER)], Some(90)),
            (&[("date", LATER), ("expires", DAY)], Some(0)),
            (&[("date", DAY), ("expires", "0")], None),
        ] {
            let found = fresh(&headers(list)).map(|fresh| fresh.as_secs());
            assert_eq!(found, seconds, "{list:?}");
        }
        let list = headers(&[("date", DAY), ("retry-after", LATER)]);
        assert_eq!(retry_after(&list), Some(Duration::from_secs(90)));
        let list = headers(&[("retry-after", "7")]);
        assert_eq!(retry_after(&list), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(&[("retry-after", "-7")])), None);
    }
}
