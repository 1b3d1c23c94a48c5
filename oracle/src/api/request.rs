//! Parts of requests, read so that what cannot be read is answered like every other error.

use std::str::FromStr;

use alloy::primitives::B256;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query as AxumQuery, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Refusal;

/// The 32 bytes of hex in the path of a route that has one parameter.
pub(super) struct Word(pub B256);

impl<S: Send + Sync> FromRequestParts<S> for Word {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|r| Refusal::malformed(r.status(), r.body_text()))?;
        let (name, text) = params.iter().next().unwrap_or(("path", ""));
        word(name, text).map(Self)
    }
}

/// A query string. Keys that are not known are refused.
pub(super) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = AxumQuery::<T>::from_request_parts(parts, state).await;
        let read = read.map_err(|r| Refusal::malformed(r.status(), r.body_text()))?;
        Ok(Self(read.0))
    }
}

/// A body that has at least one byte.
pub(super) struct Body(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|r| match r.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Refusal(r.status(), "evidence_too_large", r.body_text())
            }
            status => Refusal::malformed(status, r.body_text()),
        })?;
        if bytes.is_empty() {
            let message = "body: expected an evidence bundle, found nothing";
            return Err(Refusal::malformed(StatusCode::BAD_REQUEST, message));
        }
        Ok(Self(bytes))
    }
}

/// 32 bytes of hex.
pub(super) fn word(name: &str, text: &str) -> Result<B256, Refusal> {
    B256::from_str(text).map_err(|_| {
        let length = text.len();
        let message = format!("{name}: expected 32 bytes of hex, found {length} characters");
        Refusal::malformed(StatusCode::BAD_REQUEST, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn path(uri: &str) -> Result<B256, Refusal> {
        let query = uri.parse().unwrap();
        let mut parts = axum::http::Request::new(()).into_parts().0;
        parts.uri = query;
        let read = Query::<Vec<(String, String)>>::from_request_parts(&mut parts, &()).await?;
        let (name, text) = read.0.first().cloned().unwrap_or_default();
        word(&name, &text)
    }

    #[tokio::test]
    async fn a_word_has_thirty_two_bytes() {
        let word = B256::repeat_byte(0xab);
        for text in [
            format!("{word}"),
            hex::encode(word),
            hex::encode_upper(word),
        ] {
            assert_eq!(path(&format!("/?order={text}")).await.unwrap(), word);
        }
        for text in [
            "",
            "0x",
            "ab",
            &format!("{word}00"),
            &"zz".repeat(32),
            "%00",
        ] {
            let refused = path(&format!("/?order={text}")).await.unwrap_err();
            assert_eq!(
                (refused.0, refused.1),
                (StatusCode::BAD_REQUEST, "malformed")
            );
            assert!(refused.2.starts_with("order: expected"), "{}", refused.2);
        }
    }

    #[tokio::test]
    async fn bodies_are_neither_empty_nor_too_large() {
        let of = |body: &'static str| Request::new(axum::body::Body::from(body));
        assert_eq!(
            Body::from_request(of("{}"), &()).await.ok().unwrap().0,
            "{}"
        );
        let refused = Body::from_request(of(""), &()).await.err().unwrap();
        assert_eq!(
            (refused.0, refused.1),
            (StatusCode::BAD_REQUEST, "malformed")
        );
    }
}
