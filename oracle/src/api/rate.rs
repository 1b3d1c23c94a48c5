//! How often one sender may ask: a flood of one is not an outage for the others.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::Refusal;
use crate::metrics::Metrics;

/// Senders remembered at least; beyond that, those who have been quiet are forgotten.
const SENDERS: usize = 4096;

/// What each sender has left.
#[derive(Debug)]
pub struct Rate {
    senders: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    metrics: Arc<Metrics>,
}

impl Rate {
    /// `per_second` requests of one sender, in the long run, and at most `burst` at a time.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32, metrics: Arc<Metrics>) -> Self {
        Self {
            senders: DefaultKeyedRateLimiter::keyed(
                Quota::per_second(per_second).allow_burst(burst),
            ),
            clock: DefaultClock::default(),
            metrics,
        }
    }

    /// Takes one request from what the sender has left.
    fn take(&self, sender: IpAddr) -> Result<(), Duration> {
        if self.senders.len() > SENDERS {
            self.senders.retain_recent();
        }
        self.senders
            .check_key(&sender)
            .map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

/// Whoever has a /64 of IPv6 has all of its addresses.
fn sender(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> 64 << 64;
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

/// Answers 429 to who asks too often, and says when to come again.
pub(super) async fn limit(
    State(rate): State<Arc<Rate>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let Err(wait) = rate.take(sender(peer.ip())) else {
        return next.run(request).await;
    };
    rate.metrics.request_limited();
    let seconds = wait.as_secs() + 1;
    let message = format!("too many requests, come again in {seconds} s");
    let mut refused =
        Refusal(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message).into_response();
    let headers = refused.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        let of = |value| NonZeroU32::new(value).unwrap();
        Rate::new(of(per_second), of(burst), Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_flood_of_one_sender_is_refused_and_the_others_are_heard() {
        let rate = rate(1, 3);
        for _ in 0..3 {
            assert!(rate.take(ip("192.0.2.1")).is_ok());
        }
        let wait = rate.take(ip("192.0.2.1")).unwrap_err();
        assert!(
            wait <= Duration::from_secs(1) && !wait.is_zero(),
            "{wait:?}"
        );
        assert!(rate.take(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_sender_and_mapped_ipv4_is_ipv4() {
        assert_eq!(sender(ip("2001:db8::1")), sender(ip("2001:db8::ffff:1")));
        assert_ne!(sender(ip("2001:db8::1")), sender(ip("2001:db8:0:1::1")));
        assert_eq!(sender(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn senders_who_were_quiet_are_forgotten() {
        let rate = rate(1_000_000, 1);
        for index in 0..3 * SENDERS as u32 {
            let _ = rate.take(std::net::Ipv4Addr::from(index).into());
        }
        assert!(rate.senders.len() <= 2 * SENDERS, "{}", rate.senders.len());
    }
}
