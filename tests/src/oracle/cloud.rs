//! A private stand-in for a cloud's services, made of moto: buckets of objects.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, RequestBuilder};
use tokio::process::{Child, Command};

use crate::tools::Tool;

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The services. Dropping them ends the process.
#[derive(Debug)]
pub struct Cloud {
    // Held for its drop, which kills the process.
    _child: Child,
    port: u16,
    http: reqwest::Client,
}

impl Cloud {
    /// Starts the services; none, with a message, where moto is not installed.
    pub async fn start() -> Result<Option<Self>> {
        let Some(tool) = Tool::moto() else {
            return Ok(None);
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a port")?;
        let port = listener.local_addr()?.port();
        drop(listener);
        let child = Command::new(tool.program())
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting moto")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let cloud = Self {
            _child: child,
            port,
            http,
        };
        let begun = Instant::now();
        while cloud
            .request(Method::GET, "/moto-api/")
            .send()
            .await
            .is_err()
        {
            if begun.elapsed() > START_LIMIT {
                bail!("moto does not listen");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Some(cloud))
    }

    /// `host:port` of every service.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// URL of every service.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Makes a bucket.
    pub async fn bucket(&self, name: &str) -> Result<()> {
        self.put(name, "").await
    }

    /// Writes an object, `bucket/name`.
    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<()> {
        let request = self.request(Method::PUT, &format!("/{path}")).body(body);
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(())
    }

    /// The names of a bucket's objects.
    pub async fn names(&self, bucket: &str) -> Result<Vec<String>> {
        let request = self.request(Method::GET, &format!("/{bucket}?list-type=2"));
        let listed = request.send().await?.error_for_status()?.text().await?;
        let names = listed.split("<Key>").skip(1);
        let names = names.filter_map(|rest| rest.split_once("</Key>"));
        Ok(names.map(|(name, _)| name.to_owned()).collect())
    }

    /// A request to the buckets. Whose it is tells a signature, which is not checked.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let unsigned = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=00";
        let request = self.http.request(method, format!("{}{path}", self.url()));
        request.header("authorization", unsigned)
    }
}
