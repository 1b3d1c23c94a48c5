//! A bucket of an S3-compatible service.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, Checksum};
use object_store::path::Path;
use object_store::{
    ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt, RetryConfig,
};
use serde::Deserialize;

use super::BundleError;
use super::objects::{Listing, Object};
use crate::config;
use crate::tls::Authorities;

/// Tries of a request before its failure is told. Whoever waits for it tries again too.
const RETRIES: usize = 2;

/// A bucket, or what of it is under a prefix.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: String,
    prefix: Path,
    store: Arc<AmazonS3>,
}

impl Bucket {
    /// A bucket by the configuration. Nothing is asked of it yet.
    ///
    /// # Errors
    /// What is wrong with the credentials' file or the settings.
    pub fn new(
        settings: &config::Bucket,
        timeout: Duration,
        authorities: &Authorities,
    ) -> Result<Self, BundleError> {
        let mut client = ClientOptions::new()
            .with_timeout(timeout)
            .with_connect_timeout(timeout)
            .with_allow_http(true);
        for authority in authorities.der() {
            let read = object_store::Certificate::from_der(authority);
            client = client.with_root_certificate(read.map_err(|e| failed(&settings.name, e))?);
        }
        let mut builder = match &settings.credentials {
            Some(path) => {
                let file = CredentialsFile(path.clone());
                file.read().map_err(|detail| BundleError::Credentials {
                    path: path.clone(),
                    detail,
                })?;
                AmazonS3Builder::new().with_credentials(Arc::new(file))
            }
            None => AmazonS3Builder::from_env(),
        };
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        let store = builder
            .with_bucket_name(&settings.name)
            .with_client_options(client)
            .with_checksum_algorithm(Checksum::SHA256)
            // Not every service has it, and here one object goes at a time.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: timeout,
                ..RetryConfig::default()
            })
            .build()
            .map_err(|e| failed(&settings.name, e))?;
        Ok(Self {
            name: settings.name.clone(),
            prefix: Path::from(settings.prefix.as_str()),
            store: Arc::new(store),
        })
    }

    /// Asks the service for the bucket.
    ///
    /// # Errors
    /// What the service answers, or that it does not.
    pub async fn reach(&self) -> Result<(), BundleError> {
        self.list("").await.map(drop)
    }

    pub(super) async fn read(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        let found = match self.store.get(&self.path(name)).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(|e| self.failed(name, e))?,
        };
        if found.meta.size > limit {
            return Err(BundleError::TooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(found.meta.size as usize);
        let mut body = found.into_stream();
        // What was announced is not what has to come.
        while let Some(chunk) = body.try_next().await.map_err(|e| self.failed(name, e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(BundleError::TooLarge { limit });
            }
        }
        Ok(Some(bytes))
    }

    pub(super) async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), BundleError> {
        let written = self.store.put(&self.path(name), bytes.into()).await;
        written.map(drop).map_err(|e| self.failed(name, e))
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), BundleError> {
        match self.store.delete(&self.path(name)).await {
            Err(Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(|e| self.failed(name, e)),
        }
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Listing, BundleError> {
        let path = self.path(folder);
        let listed = self.store.list_with_delimiter(Some(&path));
        let listed = listed.await.map_err(|e| self.failed(folder, e))?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        Ok(Listing {
            folders: listed.common_prefixes.iter().map(name).collect(),
            objects: listed
                .objects
                .iter()
                .map(|meta| Object {
                    name: name(&meta.location),
                    since: meta.last_modified.into(),
                })
                .collect(),
        })
    }

    fn path(&self, name: &str) -> Path {
        let name = Path::from(name);
        self.prefix.parts().chain(name.parts()).collect()
    }

    fn failed(&self, name: &str, source: Error) -> BundleError {
        failed(&format!("{}/{}", self.name, self.path(name)), source)
    }
}

fn failed(object: &str, source: Error) -> BundleError {
    BundleError::Bucket {
        object: object.to_owned(),
        source: Box::new(source),
    }
}

/// A file with the key of an account. It is read for every request, so it can be replaced at any time.
#[derive(Debug)]
struct CredentialsFile(PathBuf);

/// What the file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl CredentialsFile {
    /// The messages never carry what is in the file.
    fn read(&self) -> Result<AwsCredential, String> {
        let path: &FilePath = &self.0;
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let read: Credentials = toml::from_str(&text).map_err(|_| {
            "expected access_key_id, secret_access_key and perhaps session_token as TOML".to_owned()
        })?;
        Ok(AwsCredential {
            key_id: read.access_key_id,
            secret_key: read.secret_access_key,
            token: read.session_token,
        })
    }
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.read().map(Arc::new).map_err(|detail| Error::Generic {
            store: "credentials",
            source: format!("{}: {detail}", self.0.display()).into(),
        })
    }
}
