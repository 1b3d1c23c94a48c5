//! Keys in AWS's key management service: it signs, and the key never leaves it.

use std::time::Duration;

use alloy_signer_aws::AwsSigner;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};

use super::Signer;
use crate::config::Kms;

/// How long the service may take to answer, tries together. The step that asked is taken again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the service for the key's address. Credentials are looked for as AWS's own tools do.
pub(super) async fn open(key: &Kms) -> Result<Signer, String> {
    let timeouts = TimeoutConfig::builder().operation_timeout(PATIENCE);
    let mut settings =
        aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts.build());
    if let Some(region) = &key.region {
        settings = settings.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &key.endpoint {
        settings = settings.endpoint_url(endpoint);
    }
    let client = aws_sdk_kms::Client::new(&settings.load().await);
    let signer = AwsSigner::new(client, key.id.clone(), None).await;
    Ok(Signer::new(signer.map_err(|e| vouch_client::told(&e))?))
}
