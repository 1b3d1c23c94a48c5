//! How fast a large asset is packed, published, fetched (with an interruption) and decrypted, next to
//! what the bare cipher does on one core in the same run, and how much memory all of it takes.
//!
//! `scripts/bench-content [GIB] [DIR]`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use chacha20poly1305::ChaCha20Poly1305;
use vouch_content::{DEFAULT_CHUNK_LEN, Source, find, pack_reader, publish};

/// Bytes that are made as they are read: the asset itself needs no disk.
struct Synthetic(u64);

impl Read for Synthetic {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        for word in out.chunks_mut(8) {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
        Ok(out.len())
    }
}

fn bare() -> f64 {
    let stream = StreamBE32::<ChaCha20Poly1305>::new(&[7; 32].into(), &[1; 7].into());
    let mut chunk = vec![0; DEFAULT_CHUNK_LEN as usize];
    let (begun, mut done) = (Instant::now(), 0u32);
    while begun.elapsed() < Duration::from_secs(3) {
        chunk.truncate(DEFAULT_CHUNK_LEN as usize);
        stream
            .encrypt_in_place(done, false, b"header", &mut chunk)
            .expect("encrypts");
        done += 1;
    }
    f64::from(done) * f64::from(DEFAULT_CHUNK_LEN) / begun.elapsed().as_secs_f64()
}

/// Serves a folder.
async fn serve(dir: PathBuf) -> Source {
    let app = axum::Router::new()
        .fallback_service(tower_http::services::ServeDir::new(dir).with_buf_chunk_size(1 << 18));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Source::parse(&url).expect("a source")
}

/// Most memory this process has had, in MiB (Linux).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn main() {
    // Cargo says so when it measures. A test runner that takes every target only wants to know what there is.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let gib: u64 = arguments
        .next()
        .map_or(1, |text| text.parse().expect("GIB: a number"));
    let dir = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).expect("a folder");
    run(gib << 30, dir.path());
}

/// Has the file system hold as many bytes once: a virtual machine gets memory slowly where it touches it
/// first, and that is not what is measured here.
fn warm(dir: &Path, size: u64) {
    let path = dir.join("warm");
    let mut file = std::fs::File::create(&path).expect("a file");
    std::io::copy(&mut std::io::repeat(0).take(size), &mut file).expect("writes");
    std::fs::remove_file(path).expect("removes");
}

fn run(size: u64, dir: &Path) {
    let at = |name: &str| dir.join(name);
    let bare_rate = bare();
    let show = |what: &str, begun: Instant, bytes: u64| {
        let took = begun.elapsed().as_secs_f64();
        let rate = bytes as f64 / took;
        println!(
            "{what:<28} {took:>7.2} s {:>7.0} MB/s {:>4.0} % of the bare cipher",
            rate / 1e6,
            100.0 * rate / bare_rate
        );
    };
    println!("asset                        {size} bytes");
    println!(
        "bare cipher, one core        {:>17.0} MB/s",
        bare_rate / 1e6
    );

    warm(dir, size);
    let begun = Instant::now();
    let mut asset = Synthetic(1).take(size);
    let (manifest, key) =
        pack_reader(&mut asset, size, &at("own"), DEFAULT_CHUNK_LEN).expect("packs");
    show("pack", begun, size);
    let asset = manifest.digest();

    let begun = Instant::now();
    publish(&at("own"), asset, &at("public")).expect("publishes");
    show("publish (checked)", begun, size);
    std::fs::remove_dir_all(at("own")).expect("removes");

    warm(dir, size);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let source = serve(at("public")).await;
        let (begun, to) = (Instant::now(), at("fetched"));
        let fetching = tokio::spawn({
            let (source, to) = (source.clone(), to.clone());
            async move { source.fetch(asset, &to).await }
        });
        let partial = to
            .join(format!(".vouch-{}.part", hex::encode(asset)))
            .join("data");
        let there = || std::fs::metadata(&partial).map_or(0, |file| file.len());
        while there() < size / 2 && !fetching.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        fetching.abort();
        let _ = fetching.await;
        show("fetch until interrupted", begun, there());
        warm(dir, size / 2);
        let begun = Instant::now();
        let fetched = source.fetch(asset, &to).await.expect("fetches the rest");
        show("check of it, and the rest", begun, size);
        println!("kept of the interrupted fetch {} bytes", fetched.kept);
    });
    std::fs::remove_dir_all(at("public")).expect("removes");

    warm(dir, size);
    let begun = Instant::now();
    let mut pack = find(&at("fetched"), asset).expect("is there");
    pack.decrypt_to(&key, &at("plain")).expect("decrypts");
    show("decrypt", begun, size);
    let plain = std::fs::metadata(at("plain")).expect("is there").len();
    assert_eq!(plain, size);
    println!("most memory                  {:>7} MiB", peak());
}
