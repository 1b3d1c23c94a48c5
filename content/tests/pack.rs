//! Packs, results and fetches from the outside: what comes back is what went in, or a reason.

use std::io::Read;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use proptest::prelude::*;
use vouch_content::seal::KeyPair;
use vouch_content::{ContentKey, Error, Source, find, pack, pack_reader, publish, result};

const CHUNK: u32 = 4096;

fn asset(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

struct Packed {
    dir: tempfile::TempDir,
    digest: B256,
    key: ContentKey,
    plain: Vec<u8>,
}

fn packed(length: usize) -> Packed {
    let dir = tempfile::tempdir().unwrap();
    let plain = asset(length);
    let file = dir.path().join("asset");
    std::fs::write(&file, &plain).unwrap();
    let (manifest, key) = pack(&file, &dir.path().join("store"), CHUNK).unwrap();
    Packed {
        dir,
        digest: manifest.digest(),
        key,
        plain,
    }
}

impl Packed {
    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.store().join(hex::encode(self.digest)).join(name)
    }

    fn decrypt(&self, key: &ContentKey) -> Result<Vec<u8>, Error> {
        let out = self.dir.path().join("out");
        find(&self.store(), self.digest)?.decrypt_to(key, &out)?;
        Ok(std::fs::read(out).unwrap())
    }
}

/// Nothing but these is in a folder.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_asset_that_a_store_lacks_is_named_with_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let asset = B256::repeat_byte(0xab);
    let found = find(dir.path(), asset).map(|_| ()).unwrap_err();
    let (store, folder) = (dir.path().display(), "ab".repeat(32));
    let expected = format!("{store}: expected a folder {folder} with the asset's pack, found none");
    assert_eq!(found.to_string(), expected);
    let error = publish(dir.path(), asset, &dir.path().join("to")).unwrap_err();
    assert!(matches!(error, Error::Absent { .. }), "{error}");
}

#[test]
fn any_length_comes_back_and_is_encrypted_at_rest() {
    for length in [0, 1, 4095, 4096, 4097, 40_000, 8 * 4096] {
        let packed = packed(length);
        assert_eq!(
            packed.decrypt(&packed.key).unwrap(),
            packed.plain,
            "{length}"
        );
        let data = std::fs::read(packed.file("data")).unwrap();
        assert_eq!(
            data.len() as u64,
            find(&packed.store(), packed.digest)
                .unwrap()
                .manifest()
                .data_len()
        );
        if length >= 64 {
            assert!(!data.windows(32).any(|window| window == &packed.plain[..32]));
        }
    }
}

#[test]
fn ranges_are_read_alone() {
    let packed = packed(20_000);
    let mut pack = find(&packed.store(), packed.digest).unwrap();
    for range in [
        0..0,
        0..1,
        4095..4097,
        5000..5000,
        100..19_999,
        0..20_000,
        19_999..20_000,
    ] {
        let mut out = Vec::new();
        pack.decrypt(&packed.key, range.clone(), &mut out).unwrap();
        assert_eq!(
            out,
            packed.plain[range.start as usize..range.end as usize],
            "{range:?}"
        );
    }
    for range in [0..20_001, 20_001..20_002, 5..20_001] {
        assert!(pack.decrypt(&packed.key, range, &mut Vec::new()).is_err());
    }
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_released() {
    let packed = packed(10_000);
    let error = packed
        .decrypt(&ContentKey::generate().unwrap())
        .unwrap_err();
    assert!(matches!(error, Error::WrongKey { .. }), "{error}");
    assert!(!packed.dir.path().join("out").exists());
}

#[test]
fn every_changed_byte_is_found_and_no_partial_output_stays() {
    let packed = packed(9000);
    for name in ["manifest", "tree", "data"] {
        let path = packed.file(name);
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(if name == "data" { 997 } else { 5 }) {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            std::fs::write(&path, &bad).unwrap();
            let error = packed.decrypt(&packed.key).unwrap_err();
            assert!(
                matches!(error, Error::Digest { .. } | Error::Chunk { .. }),
                "{name} byte {at}: {error}"
            );
            assert_eq!(names(packed.dir.path()), ["asset", "store"]);
        }
        for bad in [&good[..good.len() - 1], &[&good[..], &[0]].concat()] {
            std::fs::write(&path, bad).unwrap();
            assert!(
                packed.decrypt(&packed.key).is_err(),
                "{name}: {} bytes",
                bad.len()
            );
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert_eq!(packed.decrypt(&packed.key).unwrap(), packed.plain);
}

#[test]
fn chunks_of_a_failed_decryption_are_released_up_to_the_bad_one_only() {
    let packed = packed(3 * 4096);
    let path = packed.file("data");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096 + 16] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut out = Vec::new();
    let mut pack = find(&packed.store(), packed.digest).unwrap();
    let error = pack
        .decrypt(&packed.key, 0..3 * 4096, &mut out)
        .unwrap_err();
    assert!(matches!(error, Error::Chunk { index: 1, .. }), "{error}");
    assert_eq!(out, packed.plain[..4096]);
}

#[test]
fn an_input_that_is_shorter_or_longer_than_it_said_is_not_packed() {
    let dir = tempfile::tempdir().unwrap();
    for said in [9_999, 10_001] {
        let error = pack_reader(&mut &asset(10_000)[..], said, dir.path(), CHUNK).unwrap_err();
        assert!(matches!(error, Error::Length { .. }), "{error}");
        assert!(names(dir.path()).is_empty());
    }
    assert!(pack_reader(&mut std::io::empty(), 0, dir.path(), 1000).is_err());
}

#[test]
fn a_result_opens_for_its_buyer_and_order_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (buyer, order) = (KeyPair::generate().unwrap(), B256::repeat_byte(5));
    let plain = asset(30_000);
    let sealed = result::seal_to(
        &mut &plain[..],
        30_000,
        buyer.public(),
        order,
        dir.path(),
        &at("result"),
    )
    .unwrap();
    let bytes = std::fs::read(at("result")).unwrap();
    assert_eq!(sealed.size, bytes.len() as u64);
    assert_eq!(sealed.digest, vouch_content::sha256(&bytes));
    result::open_file(&at("result"), &buyer, order, &at("opened")).unwrap();
    assert_eq!(std::fs::read(at("opened")).unwrap(), asset(30_000));
    std::fs::remove_file(at("opened")).unwrap();

    let other = KeyPair::generate().unwrap();
    assert!(result::open_file(&at("result"), &other, order, &at("opened")).is_err());
    assert!(result::open_file(&at("result"), &buyer, B256::ZERO, &at("opened")).is_err());
    for cut in [0, 14, 15, 96, 191, 200, bytes.len() - 1] {
        std::fs::write(at("cut"), &bytes[..cut]).unwrap();
        assert!(
            result::open_file(&at("cut"), &buyer, order, &at("opened")).is_err(),
            "{cut}"
        );
    }
    for flip in (0..bytes.len()).step_by(701) {
        let mut bad = bytes.clone();
        bad[flip] ^= 0x10;
        std::fs::write(at("cut"), &bad).unwrap();
        assert!(
            result::open_file(&at("cut"), &buyer, order, &at("opened")).is_err(),
            "byte {flip}"
        );
    }
    assert_eq!(
        names(dir.path()),
        ["cut", "result"],
        "no scratch, no partial output"
    );
}

/// Serves a folder; where `limit` is given, answers stop after that many bytes, but do not end.
async fn serve(dir: PathBuf, limit: Option<usize>) -> String {
    use axum::body::Body;
    use axum::response::Response;
    use futures::StreamExt;
    let files = tower_http::services::ServeDir::new(dir);
    let mut app = axum::Router::new().fallback_service(files);
    if let Some(limit) = limit {
        app = app.layer(axum::middleware::map_response(
            move |response: Response| async move {
                let (parts, body) = response.into_parts();
                let mut left = limit;
                let cut = body.into_data_stream().then(move |piece| {
                    let stalls = piece.as_ref().is_ok_and(|piece| piece.len() > left);
                    left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len()));
                    async move {
                        if stalls {
                            std::future::pending::<()>().await;
                        }
                        piece
                    }
                });
                Response::from_parts(parts, Body::from_stream(cut))
            },
        ));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// A fetch that is ended when about half of the asset is there. Gives the partial file.
async fn interrupted(packed: &Packed, to: &Path) -> PathBuf {
    let source = Source::parse(&serve(packed.store(), Some(400_000)).await).unwrap();
    let partial = to
        .join(format!(".vouch-{}.part", hex::encode(packed.digest)))
        .join("data");
    let (asset, store) = (packed.digest, to.to_owned());
    let fetching = tokio::spawn(async move { source.fetch(asset, &store).await });
    while std::fs::metadata(&partial).map_or(0, |file| file.len()) < 300_000 {
        assert!(!fetching.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    fetching.abort();
    assert!(fetching.await.is_err());
    partial
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_fetch_goes_on_where_it_stopped() {
    let packed = packed(600_000);
    let to = packed.dir.path().join("fetched");
    interrupted(&packed, &to).await;
    assert!(
        find(&to, packed.digest).is_err(),
        "what is not whole is not there"
    );
    let whole = serve(packed.store(), None).await;
    let fetched = Source::parse(&whole)
        .unwrap()
        .fetch(packed.digest, &to)
        .await
        .unwrap();
    assert!(
        fetched.kept >= 300_000 && fetched.received <= 310_000,
        "{fetched:?}"
    );
    let mut out = Vec::new();
    find(&to, packed.digest)
        .unwrap()
        .decrypt(&packed.key, 0..600_000, &mut out)
        .unwrap();
    assert_eq!(out, packed.plain);
    assert_eq!(names(&to), [hex::encode(packed.digest)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rotted_in_an_interrupted_fetch_is_fetched_again() {
    let packed = packed(600_000);
    let to = packed.dir.path().join("fetched");
    let partial = interrupted(&packed, &to).await;
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    let whole = serve(packed.store(), None).await;
    let fetched = Source::parse(&whole)
        .unwrap()
        .fetch(packed.digest, &to)
        .await
        .unwrap();
    assert_eq!(fetched.kept, 4096 + 16, "{fetched:?}");
    find(&to, packed.digest).unwrap().verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_lies_is_found_out() {
    for name in ["manifest", "tree", "data"] {
        let packed = packed(50_000);
        let mut bytes = std::fs::read(packed.file(name)).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(packed.file(name), &bytes).unwrap();
        let url = serve(packed.store(), None).await;
        let to = packed.dir.path().join("fetched");
        for source in [url.clone(), format!("dir:{}", packed.store().display())] {
            let error = Source::parse(&source)
                .unwrap()
                .fetch(packed.digest, &to)
                .await
                .unwrap_err();
            assert!(
                matches!(error, Error::Digest { .. } | Error::Chunk { .. }),
                "{name} from {source}: {error}"
            );
            assert!(find(&to, packed.digest).is_err());
        }
        // Longer than it may be: not read to its end.
        bytes[last] ^= 1;
        bytes.extend([0; 100_000]);
        std::fs::write(packed.file(name), &bytes).unwrap();
        assert!(
            Source::parse(&url)
                .unwrap()
                .fetch(packed.digest, &to)
                .await
                .is_err()
        );
    }
    for text in ["", "ftp://x", "file:///etc", "http://"] {
        assert!(Source::parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn every_source_says_why_it_did_not_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [
        format!("dir:{}", dir.path().display()),
        "http://127.0.0.1:1".into(),
    ]
    .map(|text| Source::parse(&text).unwrap());
    let to = dir.path().join("to");
    let error = Source::fetch_from(&sources, B256::ZERO, &to)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("found none") && error.contains("127.0.0.1:1"),
        "{error}"
    );
    let error = Source::fetch_from(&[], B256::ZERO, &to)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no sources"), "{error}");
}

#[test]
fn publishing_copies_only_what_is_whole() {
    let packed = packed(10_000);
    let to = packed.dir.path().join("public");
    publish(&packed.store(), packed.digest, &to).unwrap();
    publish(&packed.store(), packed.digest, &to).unwrap();
    find(&to, packed.digest).unwrap().verify().unwrap();
    let path = packed.file("data");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[9000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let other = packed.dir.path().join("other");
    assert!(publish(&packed.store(), packed.digest, &other).is_err());
    assert!(names(&other).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn garbage_is_no_result(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        std::fs::write(&path, [b"vouch/result/v1".as_slice(), &bytes].concat()).unwrap();
        let pair = KeyPair::from_secret(&[3; 32]).unwrap();
        prop_assert!(result::open_file(&path, &pair, B256::ZERO, &dir.path().join("out")).is_err());
    }

    #[test]
    fn any_content_survives(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
        let dir = tempfile::tempdir().unwrap();
        let (manifest, key) = pack_reader(&mut &bytes[..], bytes.len() as u64, dir.path(), CHUNK).unwrap();
        let mut out = Vec::new();
        find(dir.path(), manifest.digest()).unwrap().decrypt(&key, 0..manifest.size, &mut out).unwrap();
        prop_assert_eq!(out, bytes);
        let mut data = Vec::new();
        std::fs::File::open(dir.path().join(hex::encode(manifest.digest())).join("data")).unwrap().read_to_end(&mut data).unwrap();
        prop_assert_eq!(data.len() as u64, manifest.data_len());
    }
}

#[test]
fn what_is_no_sealed_result_is_told_once_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("sealed"), dir.path().join("opened"));
    let pair = KeyPair::generate().unwrap();
    let open = || result::open_file(&path, &pair, B256::ZERO, &out).unwrap_err();
    let missing = open();
    assert!(missing.to_string().contains("sealed: "), "{missing}");
    // Its text has the reason: a source would be told a second time.
    assert!(std::error::Error::source(&missing).is_none());
    for (bytes, named) in [
        (&b""[..], "vouch/result/v1"),
        (b"vouch/result/v", "vouch/result/v1"),
        (b"vouch/result/v2 and what follows", "vouch/result/v1"),
        (b"vouch/result/v1", "bytes, found 15"),
        (b"vouch/result/v1 cut", "bytes, found 19"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = open().to_string();
        assert!(error.contains(named), "{error}");
        assert!(!out.exists());
    }
}
